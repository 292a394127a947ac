#!/bin/sh
# A WordPress site set up by hand, as it was before Triphammer came: neighbour.sh DOMAIN
set -eu
domain=$1; root=/var/www/$domain
useradd -m -s /usr/sbin/nologin neighbour
mariadb -e "CREATE DATABASE neighbour DEFAULT CHARACTER SET utf8mb4; CREATE USER neighbour@localhost IDENTIFIED BY 'neighbours-own'; GRANT ALL ON neighbour.* TO neighbour@localhost"
mkdir -p "$root"
cp -aL /usr/share/wordpress/. "$root/"
cat > "$root/wp-config.php" <<'P'
<?php
define('DB_NAME', 'neighbour'); define('DB_USER', 'neighbour'); define('DB_PASSWORD', 'neighbours-own'); define('DB_HOST', 'localhost'); define('DB_CHARSET', 'utf8mb4');
$table_prefix = 'wp_';
define('DISABLE_WP_CRON', true); define('AUTOMATIC_UPDATER_DISABLED', true); define('WP_HTTP_BLOCK_EXTERNAL', true);
if (!defined('ABSPATH')) define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
P
chown -R neighbour:neighbour "$root"
cat > /etc/php/8.2/fpm/pool.d/neighbour.conf <<'P'
[neighbour]
user = neighbour
group = neighbour
listen = /run/php/neighbour.sock
listen.owner = www-data
listen.group = www-data
pm = ondemand
pm.max_children = 3
P
cat > "/etc/nginx/sites-available/$domain" <<N
server {
  listen 80; server_name $domain; root $root; index index.php;
  location / { try_files \$uri \$uri/ /index.php?\$args; }
  location ~ \.php\$ { include snippets/fastcgi-php.conf; fastcgi_pass unix:/run/php/neighbour.sock; }
}
N
ln -s "/etc/nginx/sites-available/$domain" "/etc/nginx/sites-enabled/$domain"
systemctl restart php8.2-fpm
nginx -t -q
systemctl reload nginx
runuser -u neighbour -- php -r 'define("WP_INSTALLING", true); $_SERVER["HTTP_HOST"] = $argv[2]; $_SERVER["REQUEST_URI"] = "/"; $_SERVER["SERVER_PROTOCOL"] = "HTTP/1.1";
  require "$argv[1]/wp-load.php"; require ABSPATH . "wp-admin/includes/upgrade.php"; function wp_mail() { return true; }
  wp_install("Neighbour", "admin", "admin@example.test", true, "", "neighbours-own"); update_option("siteurl", "http://$argv[2]"); update_option("home", "http://$argv[2]");' "$root" "$domain" >/dev/null
