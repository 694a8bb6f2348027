# The room of one instance's double. Run by path as `sh room.sh DIRECTORY PROGRAM ARGUMENT...` in a mount namespace of
# its own: instances share this machine's programs and nothing of /run, /tmp and /root; what is put into DIRECTORY/sbin
# is a program of this instance alone, before all others. It goes with the program.
set -e
umask 022
directory=$1
shift
mkdir -p "$directory/tmp" "$directory/root" "$directory/sbin"
chmod 1777 "$directory/tmp"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/agent
mount --bind "$directory" /run/agent
mount --bind /run/agent/root /root
mount --bind /run/agent/tmp /tmp
mount --bind /run/agent/sbin /usr/local/sbin
cd /
exec "$@"
