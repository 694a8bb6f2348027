# The room of one host's SSH server, and of everyone who logs in there. Run by path as `sh sshd_room.sh DIRECTORY PROGRAM
# ARGUMENT...` in a mount namespace of its own: what is mounted here nobody else sees, and it goes with the server.
set -e
umask 022
directory=$1
shift
mount --bind "$directory/run" /run
mkdir -p /run/sshd /run/host
mount --bind "$directory" /run/host
mount --bind /run/host/home /root
mount --bind /run/host/passwd /etc/passwd
mount --bind /run/host/shadow /etc/shadow
mount --bind /run/host/tmp /tmp
if [ -d /run/host/sudoers.d ] && [ -d /etc/sudoers.d ]; then mount --bind /run/host/sudoers.d /etc/sudoers.d; fi
cd /
exec "$@"
