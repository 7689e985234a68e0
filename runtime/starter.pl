# Starts programs for a service, whose own fork would copy the tables of all its memory and hold its loop meanwhile. It reads
# orders from its standard input and answers on its output; the service opens its ends of the pipes below /proc, by their
# numbers here. It ends with the service.
use strict;
use POSIX ();

my %memfd = (x64 => 319, arm64 => 279);
my $memfd = $memfd{shift @ARGV} // exit 1;
my $close_on_exec = 1;
$0 = 'flotilla-starter';
# A terminal or a manager tells the service to end; what it has started ends in its own way before.
my @ends = qw(INT TERM HUP QUIT);
my $ends = POSIX::SigSet->new(map { POSIX->can("SIG$_")->() } @ends);
$SIG{$_} = 'IGNORE' for @ends;

# What this was started with is for no program.
if (opendir(my $own, '/proc/self/fd')) { POSIX::close($_) for grep { /^\d+$/ && $_ > 2 && $_ != fileno $own } readdir $own }

# Programs get numbers up to 6, and no file here may have one of them.
my @taken;
do { open(my $one, '<', '/dev/null') or exit 1; push @taken, $one } until fileno($taken[-1]) > 9;

pipe(my $woken, my $wake) or exit 1;
$wake->blocking(0);
$SIG{CHLD} = sub { syswrite $wake, '.' };

# By the number of the order: ends of pipes that the service has not opened yet, and where a failed start says why.
my (%kept, %report, %order);

sub answer { my $line = join(' ', @_) . "\n"; syswrite STDOUT, $line }

sub contents {
  my $bytes = shift;
  my $name = 'input';
  my $number = syscall($memfd, $name, $close_on_exec);
  return undef if $number < 0;
  open(my $file, '+<&=', $number) or return undef;
  my $at = 0;
  while ($at < length $bytes) {
    my $written = syswrite $file, $bytes, length($bytes) - $at, $at;
    return undef unless defined $written;
    $at += $written;
  }
  sysseek $file, 0, 0;
  return $file;
}

sub become {
  my ($folder, $environment, $arguments, @files) = @_;
  POSIX::setpgid(0, 0);
  chdir $folder or return;
  $SIG{$_} = 'DEFAULT' for @ends, 'CHLD';
  POSIX::sigprocmask(POSIX::SIG_UNBLOCK(), $ends);
  for my $number (0 .. $#files) {
    defined $files[$number] && (defined POSIX::dup2(fileno($files[$number]), $number) || return);
  }
  %ENV = map { split /=/, $_, 2 } @$environment;
  exec { $arguments->[0] } @$arguments;
}

sub start {
  my ($order, $folder, $has_channel, $input_count, $variable_count, @rest) = @_;
  my @inputs = map { contents($_) // return answer('failed', $order, int $!) } splice(@rest, 0, $input_count);
  my @environment = splice(@rest, 0, $variable_count);
  my (@inner, @outer);
  for my $is_read (1, 0, 0, $has_channel ? (1, 0) : ()) {
    pipe(my $from, my $to) or return answer('failed', $order, int $!);
    push @inner, $is_read ? $from : $to;
    push @outer, $is_read ? $to : $from;
  }
  pipe(my $report, my $failure) or return answer('failed', $order, int $!);
  # What is sent to the program before it stands on its own waits until it does, and is not ignored as it is here.
  POSIX::sigprocmask(POSIX::SIG_BLOCK(), $ends);
  my $child = fork;
  POSIX::sigprocmask(POSIX::SIG_UNBLOCK(), $ends) if !defined $child || $child;
  return answer('failed', $order, int $!) unless defined $child;
  if ($child == 0) {
    my @channel = splice(@inner, 3);
    become($folder, \@environment, \@rest, @inner, @inputs ? @inputs : (undef, undef), @channel);
    syswrite $failure, int $!;
    POSIX::_exit(127);
  }
  # By both, so that it is so when either goes on.
  POSIX::setpgid($child, $child);
  $kept{$order} = \@outer;
  $report{$order} = $report;
  $order{$child} = $order;
  answer('started', $order, $child, map { fileno $_ } @outer);
}

sub reap {
  while ((my $child = waitpid(-1, POSIX::WNOHANG())) > 0) {
    my $status = $?;
    my $order = delete $order{$child} // next;
    sysread delete $report{$order}, my $failure, 16;
    answer('ended', $order, $status >> 8, $status & 127, $failure || 0);
  }
}

my $waiting = '';
while (1) {
  my $ready = '';
  vec($ready, fileno STDIN, 1) = 1;
  vec($ready, fileno $woken, 1) = 1;
  next if select($ready, undef, undef, undef) < 0;
  if (vec($ready, fileno $woken, 1)) {
    sysread $woken, my $dots, 4096;
    reap();
  }
  next unless vec($ready, fileno STDIN, 1);
  my $count = sysread STDIN, $waiting, 262_144, length $waiting;
  next if !defined $count && $!{EINTR};
  exit 0 unless $count;
  while (length $waiting >= 4 && length $waiting >= 4 + unpack('N', $waiting)) {
    my ($kind, @parts) = unpack('(N/a*)*', substr($waiting, 4, unpack('N', $waiting)));
    substr($waiting, 0, 4 + unpack('N', $waiting)) = '';
    if ($kind eq 'start') { start(@parts) }
    else { delete $kept{$parts[0]} }
  }
}
