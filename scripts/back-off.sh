# Run by systemd when a process of the fleet has ended. One that fails again and again is held back longer each time, up to
# 10 s; systemd's own growing delay counts falls for ever, and would make one that falls once a week slow to come back.
set -eu
count=$RUNTIME_DIRECTORY/falls
if [ "$SERVICE_RESULT" = success ]; then
  rm -f "$count"
  exit 0
fi
# Falls more than three minutes apart have nothing to do with each other: a start may take half of that before it is given up.
[ -n "$(find "$count" -mmin -3 2>/dev/null)" ] || : > "$count"
echo >> "$count"
falls=$(wc -l < "$count")
case $falls in
  1 | 2 | 3) exit 0 ;;
  4) delay=1 ;;
  5) delay=2 ;;
  6) delay=5 ;;
  *) delay=10 ;;
esac
echo "<4>{\"level\":\"warn\",\"event\":\"held_back\",\"falls\":$falls,\"seconds\":$delay,\"result\":\"$SERVICE_RESULT\"}"
# A unit that watches this file raises the alert.
[ "$falls" -lt 5 ] || echo "$falls" > "$RUNTIME_DIRECTORY/down"
exec sleep "$delay"
