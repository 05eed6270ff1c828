"""The child process of simulators.hub.broker: python -m simulators.hub.broker_child CONFIGURATION [MOSQUITTO].

Its standard input is a pipe from the parent. When that closes, because the parent stops this process or has died, the
broker ends. When this process is killed, the kernel also kills the broker.
"""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Run the broker until standard input ends."""
    configuration, *mosquitto = sys.argv[1:]
    if mosquitto:
        _mosquitto(mosquitto[0], configuration)
    else:
        _rumqttd(configuration)


def _mosquitto(program: str, configuration: str) -> None:
    prctl = ctypes.CDLL(None).prctl
    broker = subprocess.Popen(
        [program, "-c", configuration],
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),  # noqa: PLW1509 - only one thread so far
    )
    # When the broker ends on its own, this process ends too, so that the parent notices.
    threading.Thread(target=lambda: os._exit(broker.wait()), daemon=True).start()
    sys.stdin.buffer.read()
    broker.terminate()
    threading.Event().wait()  # the other thread ends the process


def _rumqttd(configuration: str) -> None:
    from iotcore import IotCoreBroker  # noqa: PLC0415 - not needed with Mosquitto

    def end_with_parent() -> None:
        sys.stdin.buffer.read()
        os._exit(0)  # there is no other way to stop its Rust threads

    logging.getLogger("rumqttd").setLevel(logging.CRITICAL + 1)  # it logs every packet as an error
    threading.Thread(target=end_with_parent, daemon=True).start()
    IotCoreBroker(config_path=configuration).run_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    main()
