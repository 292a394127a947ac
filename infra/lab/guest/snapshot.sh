#!/bin/sh
# All on a server that must be as it was, as text: accounts, databases with grants and rows, files, units, crontabs,
# containers with their images, volumes and networks.
# Left out is what every use changes: logs, caches, sockets, and the agent's own leases, which only say who came last.
set -u
sort /etc/passwd | sed 's/^/passwd /'
sort /etc/group | sed 's/^/group /'
cut -d: -f1 /etc/shadow | sort | sed 's/^/shadow /'
if systemctl -q is-active docker; then
  docker ps --all --no-trunc --format 'container {{.Names}} {{.Image}} {{.State}} {{.Ports}} {{.Networks}} {{.Mounts}}' | sort
  docker images --all --no-trunc --digests --format 'image {{.Repository}}:{{.Tag}} {{.Digest}} {{.ID}}' | sort
  docker volume ls --format 'volume {{.Name}}' | sort
  docker network ls --format 'docker-network {{.Name}} {{.Driver}}' | sort
fi
if systemctl -q is-active mariadb; then
  for db in $(mariadb -Ne 'SHOW DATABASES' | sort); do
    case $db in information_schema|performance_schema|sys|mysql) continue ;; esac
    for table in $(mariadb -Ne "SHOW TABLES IN \`$db\`" | sort); do
      case $table in
        # Any visit moves WordPress's schedule and short-lived values: they say nothing of what a deployment did.
        *_options) sum=$(mariadb --raw -Ne "SELECT option_name, option_value FROM \`$db\`.\`$table\` WHERE option_name NOT LIKE '%\_transient\_%' AND option_name <> 'cron' ORDER BY option_id" | sha256sum | cut -c1-16) ;;
        *) sum=$(mariadb -Ne "CHECKSUM TABLE \`$db\`.\`$table\`" | cut -f2) ;;
      esac
      echo "table $db.$table $sum"
    done
    echo "database $db $(mariadb -Ne "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name='$db'")"
  done
  mariadb -Ne "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.global_priv ORDER BY 1" | while read -r user; do echo "user $user"; mariadb -Ne "SHOW GRANTS FOR $user" | sed 's/^/grant /'; done
fi
find /etc /home /root /opt /srv /var/www /var/spool/cron /var/lib/triphammer /usr/local -xdev \
  \( -path /etc/ld.so.cache -o -path '/etc/*-' -o -path /var/lib/triphammer/leases -o -path '*/wp-content/cache' -o -path /etc/resolv.conf -o -path /etc/.pwd.lock -o -path /etc/machine-id \) -prune -o \
  -printf '%y %p %m %u:%g %l\n' | grep -v '^d /var/lib/triphammer/claims/' | sort
find /etc /home /root /opt /srv /var/www /var/spool/cron /var/lib/triphammer /usr/local -xdev \
  \( -path /etc/ld.so.cache -o -path '/etc/*-' -o -path /var/lib/triphammer/leases -o -path /etc/resolv.conf -o -path /etc/passwd -o -path /etc/group -o -path /etc/shadow -o -path /etc/gshadow -o -path /etc/subuid -o -path /etc/subgid -o -path /etc/machine-id \) -prune -o \
  -type f -print0 | sort -z | xargs -0 sha256sum 2>/dev/null | sed 's/^/sum /'
sort /etc/subuid /etc/subgid | sed 's/^/subid /'
systemctl list-unit-files --no-legend --state=enabled | awk '{print "unit " $1}' | sort
ls /run/php 2>/dev/null | sed 's/^/socket /'
ls /var/lib/systemd/linger 2>/dev/null | sed 's/^/linger /'
