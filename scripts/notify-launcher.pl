#!/usr/bin/perl
# notify-launcher.pl PROGRAM [ARGUMENT ...]
# Runs PROGRAM with one more passed descriptor, "notify": a socket to $NOTIFY_SOCKET. Node cannot open such sockets
# itself; systemd passes one from version 253 on (OpenFile=), and older ones need this. The process id stays the same.
use strict;
use warnings;
use POSIX ();
use Socket;

my $path = $ENV{NOTIFY_SOCKET} // die "notify-launcher: there is no \$NOTIFY_SOCKET\n";
$path =~ s/^@/\0/; # an abstract socket
my $passed = $ENV{LISTEN_FDS} // 0;
my @names = split /:/, $ENV{LISTEN_FDNAMES} // '';

$^F = 1023; # what is opened from here on stays open in PROGRAM
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "notify-launcher: socket: $!\n";
connect($socket, pack_sockaddr_un($path)) or die "notify-launcher: $path: $!\n";
# Right behind the others, as systemd does.
defined POSIX::dup2(fileno($socket), 3 + $passed) or die "notify-launcher: dup2: $!\n";

$ENV{LISTEN_PID} = $$;
$ENV{LISTEN_FDS} = $passed + 1;
$ENV{LISTEN_FDNAMES} = join ':', @names, 'notify';
exec { $ARGV[0] } @ARGV or die "notify-launcher: $ARGV[0]: $!\n";
