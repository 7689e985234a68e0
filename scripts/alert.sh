# alert.sh UNIT: run by systemd when a unit has failed. Says so in the journal, and runs the operator's own program, once in
# ten minutes for each unit: newer versions of systemd call it at every restart of a process that keeps falling.
set -eu
unit=$1
told=$RUNTIME_DIRECTORY/$unit
[ -z "$(find "$told" -mmin -10 2>/dev/null)" ] || exit 0
: > "$told"
echo "<2>{\"level\":\"error\",\"event\":\"unit_failed\",\"unit\":\"$unit\",\"see\":\"journalctl -u $unit\"}"
if [ -x /etc/flotilla/alert ]; then
  exec /etc/flotilla/alert "$unit"
fi
