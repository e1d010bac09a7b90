"""`python3 -m app.own FOLDER UID`: hand a volume to the user that the store runs as. An init container runs it as root.

Most storage does this itself (the kubelet applies `fsGroup`), but volumes that are folders of a node belong to root.
"""

from __future__ import annotations

import os
import sys


def main(folder: str, uid: int) -> int:
    state = os.stat(folder)  # noqa: PTH116 - nothing but os is loaded here, so that it is over at once
    if state.st_uid == uid or state.st_mode & 0o002 or (state.st_gid == uid and state.st_mode & 0o020):
        return 0
    try:
        os.chown(folder, uid, uid)
    except OSError as error:
        sys.stderr.write(
            f"refapp: {folder} cannot be handed to user {uid}: {error}; set its owner where it is stored\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
