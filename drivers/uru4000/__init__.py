"""The U.are.U 4000 family of USB fingerprint readers. Other rooms import only driver."""
