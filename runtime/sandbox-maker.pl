# Makes a sandbox where bubblewrap is missing. unshare(1) has made the namespaces, and this is the first process in them; what
# util-linux has no program for is done here: a root of its own, no capabilities, the filter of system calls. It takes those
# flags of bubblewrap that runtime/sandbox.ts writes, at number 3 with NUL behind each, and the filter at number 4.
use strict;

my $processor = shift @ARGV;
my %number = $processor eq 'x64'
  ? (mount => 165, umount2 => 166, pivot_root => 155, prctl => 157, mount_setattr => 442)
  : (mount => 40, umount2 => 39, pivot_root => 41, prctl => 167, mount_setattr => 442);
my %cap = (CAP_DAC_OVERRIDE => 1, CAP_FOWNER => 3);

sub fail { print STDERR "sandbox: @_: $!\n"; exit 1 }

# Perl takes no undef and no read-only string where the kernel writes: copies are passed.
sub ask {
  my ($name, @words) = @_;
  my $said = syscall($number{$name}, @words);
  fail($name, grep { !/\0/ } @words) if $said < 0;
  return $said;
}

sub slurp {
  my $fd = shift;
  open(my $in, "<&=$fd") or fail("number $fd");
  binmode $in;
  local $/;
  my $all = <$in>;
  close $in;
  return $all;
}

my ($RDONLY, $NOSUID, $NODEV, $BIND, $REC) = (1, 2, 4, 4096, 16384);
# Nothing that is mounted lies below it.
my $base = '/sys';

sub mount {
  my ($from, $to, $kind, $flags, $data) = @_;
  ask('mount', "$from", "$to", "$kind", $flags, "$data");
}

# A mount and all below it, which mount(8) learnt late.
sub restrict {
  my ($path, $attributes, $isDeep) = @_;
  ask('mount_setattr', -100, "$path", $isDeep ? 0x8000 : 0, pack('Q4', $attributes, 0, 0, 0), 32);
}

sub folders {
  my $path = shift;
  my $so_far = $base;
  for my $part (grep { length } split m{/}, $path) {
    $so_far .= "/$part";
    mkdir $so_far, 0755 unless -l $so_far || -e $so_far;
  }
}

sub place {
  my ($from, $to) = @_;
  my ($around) = $to =~ m{^(.*)/[^/]*$};
  return folders($to) if -d $from;
  folders($around);
  return if -e "$base$to";
  open(my $new, '>', "$base$to") or fail("place $to");
}

sub attach {
  my ($from, $to, $attributes) = @_;
  place($from, $to);
  mount($from, "$base$to", '', $BIND | $REC, '');
  restrict("$base$to", $attributes, 1);
}

my @flags = split /\0/, slurp(3), -1;
pop @flags;
my $filter = slurp(4);
my (%keep, %environment, $size);
my $folder = '/';
umask 0022;
mount('tmpfs', $base, 'tmpfs', $NOSUID | $NODEV, 'mode=755,size=1m');
while (@flags) {
  my $flag = shift @flags;
  if ($flag eq '--ro-bind') { attach(splice(@flags, 0, 2), $RDONLY | $NOSUID | $NODEV) }
  elsif ($flag eq '--bind') { attach(splice(@flags, 0, 2), $NOSUID | $NODEV) }
  elsif ($flag eq '--dev-bind') { attach(splice(@flags, 0, 2), $NOSUID) }
  elsif ($flag eq '--symlink') {
    my ($target, $path) = splice(@flags, 0, 2);
    my ($around) = $path =~ m{^(.*)/[^/]*$};
    folders($around);
    symlink($target, "$base$path") or fail("symlink $path");
  }
  elsif ($flag eq '--size') { $size = shift @flags }
  elsif ($flag eq '--tmpfs') {
    my $path = shift @flags;
    folders($path);
    mount('tmpfs', "$base$path", 'tmpfs', $NOSUID | $NODEV, "mode=755,size=$size");
  }
  elsif ($flag eq '--remount-ro') { shift @flags; restrict($base, $RDONLY | $NOSUID | $NODEV, 0) }
  elsif ($flag eq '--cap-add') { $keep{$cap{shift @flags}} = 1 }
  elsif ($flag eq '--chdir') { $folder = shift @flags }
  elsif ($flag eq '--setenv') { my ($name, $value) = splice(@flags, 0, 2); $environment{$name} = $value }
  else { fail("flag $flag") }
}

chdir $base or fail("chdir $base");
ask('pivot_root', my $here = '.', my $there = '.');
ask('umount2', my $old = '.', 2);
chdir $folder or fail("chdir $folder");

my ($SET_NAME, $SET_SECCOMP, $CAPBSET_READ, $CAPBSET_DROP, $NO_NEW_PRIVS, $AMBIENT) = (15, 22, 23, 24, 38, 47);
for my $cap (0 .. 63) {
  next if $keep{$cap} || syscall($number{prctl}, $CAPBSET_READ, $cap, 0, 0, 0) != 1;
  ask('prctl', $CAPBSET_DROP, $cap, 0, 0, 0);
}
ask('prctl', $AMBIENT, 4, 0, 0, 0);
ask('prctl', $NO_NEW_PRIVS, 1, 0, 0, 0);
my $name = "sandbox\0";
ask('prctl', $SET_NAME, $name, 0, 0, 0);

my $child = fork;
fail('fork') unless defined $child;
if ($child == 0) {
  ask('prctl', $SET_SECCOMP, 2, pack('S x![P] P', length($filter) / 8, $filter), 0, 0);
  %ENV = %environment;
  exec { $ARGV[0] } @ARGV;
  fail("exec $ARGV[0]");
}
# The first process ends last: it outlives the program by nothing, and all that is left in here ends with it.
close STDIN; close STDOUT; close STDERR;
while ((my $ended = wait) >= 0) {
  next if $ended != $child;
  exit(($? & 127) ? 128 + ($? & 127) : $? >> 8);
}
