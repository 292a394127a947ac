#!/bin/sh
# Things of one name that are not ours: namesake.sh NAME
set -eu
name=$1
useradd -m -s /bin/bash "$name"
echo "mine" > "/home/$name/mine"
mariadb -e "CREATE DATABASE \`$name\`; CREATE USER \`$name\`@localhost IDENTIFIED BY 'own'; GRANT ALL ON \`$name\`.* TO \`$name\`@localhost; CREATE TABLE \`$name\`.t (a INT); INSERT INTO \`$name\`.t VALUES (42)"
