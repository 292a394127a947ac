#!/bin/sh
# Runs once inside a fresh root filesystem: what all lab servers share.
set -eu
# A cloud image's usual account: no password, may become root.
useradd -m -s /bin/bash -u 1000 admin
printf 'admin ALL=(ALL) NOPASSWD: ALL\n' > /etc/sudoers.d/admin
chmod 440 /etc/sudoers.d/admin
visudo -cq
cat > /etc/ssh/sshd_config.d/lab.conf <<'S'
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UseDNS no
MaxStartups 100:30:200
MaxSessions 50
S
# Each server gets its own host key and machine id.
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
cat > /etc/mysql/mariadb.conf.d/90-lab.cnf <<'S'
[mariadbd]
innodb_buffer_pool_size = 64M
skip-name-resolve
max_connections = 40
S
rm -f /etc/nginx/sites-enabled/default
# Units that only cost time or memory here.
for unit in console-getty.service getty.target systemd-logind.service apt-daily.timer apt-daily-upgrade.timer \
  e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer phpsessionclean.timer systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service dev-hugepages.mount systemd-sysctl.service systemd-journal-flush.service; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done
ln -sf /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=8M\n' > /etc/systemd/journald.conf.d/lab.conf
systemctl enable -q nginx php8.2-fpm mariadb ssh cron
