"""Fixed keys for the stores of tests."""

from agent.storage.encryption import StoreKey

TEST_KEY = StoreKey(bytes(range(100, 132)))
OTHER_KEY = StoreKey(bytes(range(132, 164)))
