"""Fail unless each extra is installed at exactly the lowest release that setup.cfg allows."""

from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet


def main() -> str | None:
    wrong: list[str] = []
    for line in requires("monta-auth") or []:
        wanted = Requirement(line)
        if wanted.name == "monta-auth":  # the extra `all`, which only lists the others
            continue
        installed = version(wanted.name)
        # Compare with a specifier, since 2.31 and 2.31.0 are one release.
        lowest = SpecifierSet(str(wanted.specifier).replace(">=", "=="))
        if len(lowest) != 1 or not lowest.contains(installed):
            wrong.append(f"{wanted.name}: allowed {wanted.specifier}, installed {installed}")
    return "\n".join(wrong) or None


if __name__ == "__main__":
    raise SystemExit(main())
