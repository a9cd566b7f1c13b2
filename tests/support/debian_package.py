"""A package of Debian's kind that makes a user and gives it files, as servers' packages do."""

from __future__ import annotations

# Run by sh as root of a Debian; leaves /thing.deb.
MAKE = """
set -e
mkdir -p /p/DEBIAN /p/srv/thing /p/usr/bin
printf 'Package: thing\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: a thing\\n' > /p/DEBIAN/control
cat > /p/DEBIAN/postinst <<'END'
#!/bin/sh
set -e
useradd --system --home-dir /srv/thing --shell /usr/sbin/nologin thing
chown -R thing:thing /srv/thing
install -o thing -g adm -m 4750 /bin/true /usr/bin/as-thing
test "$(setpriv --reuid thing --regid thing --init-groups id -un)" = thing
END
chmod 755 /p/DEBIAN/postinst
chown www-data:www-data /p/srv/thing
dpkg-deb --build /p /thing.deb
"""
