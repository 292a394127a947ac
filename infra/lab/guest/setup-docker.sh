#!/bin/sh
# Runs once over a copy of the servers' root filesystem: what Docker hosts and the hub share. Starts nothing at boot:
# `lab` enables what a server is for. Arguments: the packages to install.
set -eu
export DEBIAN_FRONTEND=noninteractive
# No package starts its service here.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
printf 'Package: *\nPin: release n=trixie\nPin-Priority: -1\n' > /etc/apt/preferences.d/trixie
apt-get -qq update
apt-get -qq -o Dpkg::Options::=--force-unsafe-io install -y --no-install-recommends "$@"
# Compose v2 and buildx are in the next release only. They ask for an older C library than this one has, and need nothing
# else: unpacked, not installed.
mkdir /tmp/plugins
cd /tmp/plugins
apt-get -qq -o APT::Sandbox::User=root download docker-compose/trixie docker-buildx/trixie
for deb in *.deb; do dpkg -x "$deb" .; done
mkdir -p /usr/libexec/docker
cp -a usr/libexec/docker/cli-plugins /usr/libexec/docker/
cd /
rm -rf /tmp/plugins
apt-get clean
rm -rf /etc/apt/sources.list.d/trixie.sources /etc/apt/preferences.d/trixie /usr/sbin/policy-rc.d /var/lib/apt/lists/*

systemctl disable -q nginx php8.2-fpm mariadb cron docker docker.socket containerd caddy caddy-api docker-registry fcgiwrap fcgiwrap.socket

# Docker hosts. The registries speak plain http.
mkdir -p /etc/docker /etc/systemd/system/docker.service.d
printf '{"insecure-registries":["registry.test:5000","private.registry.test:5001"]}\n' > /etc/docker/daemon.json
# nspawn mounts the cgroups read-only. Only a bind remount changes that: they are busy outside.
cat > /etc/systemd/system/docker.service.d/lab.conf <<'S'
[Service]
ExecStartPre=/bin/sh -c 'for c in /sys/fs/cgroup/*/; do [ -L "$${c%%/}" ] || mount -o remount,bind,rw "$${c%%/}"; done'
S

# The hub's registries: one for all, one for who logs in.
cat > /etc/systemd/system/registry@.service <<'S'
[Unit]
Description=Registry, %i
[Service]
User=docker-registry
ExecStart=/usr/bin/docker-registry serve /etc/docker/registry/%i.yml
Restart=on-failure
[Install]
WantedBy=multi-user.target
S
registry() { # NAME PORT: its configuration
  install -d -o docker-registry -g docker-registry "/var/lib/docker-registry/$1"
  cat <<Y
version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: /var/lib/docker-registry/$1 }, delete: { enabled: true } }
http: { addr: ":$2", secret: lab, relativeurls: true }
Y
}
registry public 5000 > /etc/docker/registry/public.yml
registry private 5001 > /etc/docker/registry/private.yml
echo 'auth: { htpasswd: { realm: lab, path: /etc/docker/registry/htpasswd } }' >> /etc/docker/registry/private.yml
htpasswd -Bbn deployer s3cret-registry > /etc/docker/registry/htpasswd

# The hub's git: the same repositories over http, over http for who knows the token, and over ssh for keys in
# ~git/.ssh/authorized_keys. One user owns and serves them, or git would call their ownership dubious.
useradd -r -m -d /srv/git -s /usr/bin/git-shell git
install -d -m 700 -o git -g git /srv/git/.ssh
install -m 600 -o git -g git /dev/null /srv/git/.ssh/authorized_keys
# What hosting services allow: a fetch of one commit, by its name.
printf '[uploadpack]\n\tallowReachableSHA1InWant = true\n\tallowFilter = true\n' > /srv/git/.gitconfig
echo 'AcceptEnv GIT_PROTOCOL' > /etc/ssh/sshd_config.d/git.conf
for name in git token oauth2 x-access-token x-token-auth deployer; do echo "$name:$(openssl passwd -apr1 s3cret-token)"; done > /etc/nginx/git.htpasswd
mkdir -p /etc/systemd/system/fcgiwrap.service.d
printf '[Service]\nUser=git\nGroup=git\nExecStart=\nExecStart=/usr/sbin/fcgiwrap -f -c 4\n' > /etc/systemd/system/fcgiwrap.service.d/lab.conf
cat > /etc/nginx/git-backend.conf <<'N'
include fastcgi_params;
fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
fastcgi_param GIT_PROJECT_ROOT /srv/git;
fastcgi_param GIT_HTTP_EXPORT_ALL 1;
fastcgi_param PATH_INFO $repository;
fastcgi_pass unix:/run/fcgiwrap.socket;
N
cat > /etc/nginx/sites-enabled/git <<'N'
server {
  listen 80 default_server;
  server_name git.test;
  client_max_body_size 50m;
  location = /health { return 200 "ok\n"; }
  location ~ ^/pub(?<repository>/.+)$ { include git-backend.conf; }
  location ~ ^/priv(?<repository>/.+)$ { auth_basic git; auth_basic_user_file git.htpasswd; include git-backend.conf; }
}
N
nginx -t -q
