"""What the checks of the tree share: which files there are."""
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def files(root=ROOT):
    """Every file of the tree that is not ignored, as paths relative to @root."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"],
                            capture_output=True)
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
    else:  # a tree without git, such as a release
        names = [str(p.relative_to(root)) for p in pathlib.Path(root).rglob("*")
                 if not any(part.startswith("build") for part in p.relative_to(root).parts)]
    return sorted(pathlib.PurePosixPath(n) for n in names
                  if n and (pathlib.Path(root) / n).is_file())
