#!/usr/bin/perl
# The guest's agent: starts commands and touches files for the gateway, over one virtio-serial port.
#
# It is process 1. Its own root is the initial RAM disk, where its interpreter is; the working directory it is started in
# is the guest's root, and everything it starts is moved in there first. The protocol is described in
# docs/decisions/0040-guest-agent.md: frames of length, type, channel and payload, with credit for each stream.
use strict;
use warnings;
use Errno qw(EAGAIN EINTR EIO EPIPE);
use Fcntl qw(:DEFAULT :mode);
use POSIX ();
use Socket;

use constant { OPEN => 1, DATA => 2, FINISH => 3, CREDIT => 4, SIGNAL => 5, RESIZE => 6, CLOSE => 7 };
use constant {
    HELLO => 16, STARTED => 17, OUT => 18, ERR => 19, OUT_END => 20, ERR_END => 21, TAKEN => 22, EXIT => 23, FAILED => 24,
};
use constant { CHUNK => 65536, WINDOW => 262144, MOST_PENDING => 1048576, MOST_READS => 32, PIDFD_OPEN => 434, F_SETPIPE_SZ => 1031 };
use constant { TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430, TIOCSWINSZ => 0x5414, TIOCSCTTY => 0x540e };

my $port;       # to the gateway
my $incoming = '';
my $outgoing = '';
my %channels;   # by number
my %of_pid;     # channel by process
my $made = 0;   # temporary files

my %operations = (
    read => \&read_file, write => \&write_file, put => \&put_files, list => \&list_folder, walk => \&walk_tree,
    exist => \&tell_existing, connect => \&connect_tcp, datagrams => \&exchange_datagrams, mount => \&mount_at,
    poweroff => \&power_off,
);

opendir(my $root, '.') or die "no root: $!";
chdir '/';
$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = sub { };
$SIG{$_} = 'IGNORE' for qw(HUP INT TERM);
umask 022;
write_text('/proc/self/oom_score_adj', '-1000');
bound_commands();
sysopen($port, port_file(), O_RDWR | O_NONBLOCK) or die "no port: $!";
send_frame(HELLO, 0, 'sallyport-agent 1');
while (1) {
    # Process 1 must not end by a mistake of its own: it is told on the console, and the next round is tried.
    eval { serve(); 1 } and next;
    print STDERR "sallyport-agent: $@";
    select(undef, undef, undef, 0.1);
}

# Commands get a little less than the machine has, so that there is always room for this process and what it starts.
sub bound_commands {
    mkdir '/cgroup/sandbox';
    write_text('/cgroup/cgroup.subtree_control', $_) for '+pids', '+memory';
    open(my $facts, '<', '/proc/meminfo') or return;
    my %kilobytes = map { /^(\w+):\s+(\d+)/ } <$facts>;
    write_text('/cgroup/sandbox/pids.max', int($kilobytes{MemTotal} / 512));
    # Of what the kernel and the initial RAM disk have left: any more would come out of this process's share.
    write_text('/cgroup/sandbox/memory.max', ($kilobytes{MemAvailable} - 16384) * 1024);
}

sub port_file {
    my ($name) = grep { -e "/sys/class/virtio-ports/$_/name" } names_in('/sys/class/virtio-ports');
    return '/dev/' . ($name // die 'no virtio port');
}

# One round: waits until something can be read or written, and does it.
sub serve {
    my ($reads, $writes) = ('', '');
    my $room = length $outgoing < MOST_PENDING;
    vec($reads, fileno $port, 1) = 1;
    vec($writes, fileno $port, 1) = 1 if $outgoing ne '';
    for my $channel (values %channels) {
        for my $name (qw(out err)) {
            my $stream = $channel->{$name} or next;
            vec($reads, fileno $stream, 1) = 1 if $room && $channel->{credit}{$name} > 0;
        }
        for my $name (qw(report life)) {
            vec($reads, fileno $channel->{$name}, 1) = 1 if $channel->{$name};
        }
        vec($writes, fileno $channel->{in}, 1) = 1 if $channel->{in} && $channel->{pending} ne '';
    }
    my $count = select($reads, $writes, undef, 5);
    reap();
    return if $count <= 0;
    write_port() if $outgoing ne '' && vec($writes, fileno $port, 1);
    for my $channel (values %channels) {
        read_report($channel) if $channel->{report} && vec($reads, fileno $channel->{report}, 1);
        for my $name (qw(out err)) {
            my $stream = $channel->{$name} or next;
            read_output($channel, $name) if vec($reads, fileno $stream, 1);
        }
        feed($channel) if $channel->{in} && $channel->{pending} ne '' && vec($writes, fileno $channel->{in}, 1);
        forget($channel);
    }
    read_port() if vec($reads, fileno $port, 1);
}

sub read_port {
    # The driver gives one page at a time: as many as are there, but not for ever.
    for (my $rounds = 0; $rounds < MOST_READS; $rounds++) {
        my $count = sysread($port, $incoming, CHUNK, length $incoming);
        # Nobody on the other side: the gateway has gone, and with it the machine's reason.
        return select(undef, undef, undef, 0.05) if defined $count && $count == 0;
        last if !defined $count;
    }
    while (length $incoming >= 9) {
        my ($length, $type, $number) = unpack('NCN', $incoming);
        return if length $incoming < 4 + $length;
        my $payload = substr($incoming, 9, $length - 5);
        substr($incoming, 0, 4 + $length, '');
        take_frame($type, $number, $payload);
    }
}

sub take_frame {
    my ($type, $number, $payload) = @_;
    return open_channel($number, unpack('(N/a*)*', $payload)) if $type == OPEN;
    my $channel = $channels{$number} or return;
    if ($type == DATA) { $channel->{pending} .= $payload; }
    elsif ($type == FINISH) { $channel->{ended} = 1; finish_input($channel); }
    elsif ($type == CREDIT) {
        my ($which, $bytes) = unpack('CN', $payload);
        $channel->{credit}{ $which == OUT ? 'out' : 'err' } += $bytes;
    }
    elsif ($type == SIGNAL) { kill unpack('N', $payload), -$channel->{pid} if !$channel->{reaped}; }
    elsif ($type == RESIZE) { set_size($channel->{in}, unpack('nn', $payload)) if $channel->{tty} && $channel->{in}; }
    elsif ($type == CLOSE) { kill 'KILL', -$channel->{pid}; abandon($channel); }
}

# Streams that nobody reads any more.
sub abandon {
    my ($channel) = @_;
    delete $channel->{$_} for qw(in out err);
    $channel->{silent} = 1;
    forget($channel);
}

sub send_frame {
    my ($type, $number, $payload) = @_;
    $outgoing .= pack('NCN', 5 + length $payload, $type, $number) . $payload;
}

sub write_port {
    for (my $rounds = 0; $rounds < MOST_READS && $outgoing ne ''; $rounds++) {
        my $count = syswrite($port, $outgoing, CHUNK);
        return if !defined $count;
        substr($outgoing, 0, $count, '');
    }
}

# --- channels ---------------------------------------------------------------------------------------------------------

sub open_channel {
    my ($number, $operation, @rest) = @_;
    return fail_channel($number, POSIX::EINVAL(), 'operation') if $channels{$number};
    my %channel = (
        number => $number, pending => '', ended => 0, tty => 0,
        credit => { out => WINDOW, err => WINDOW },
    );
    return start_command(\%channel, @rest) if $operation eq 'exec';
    my $code = $operations{$operation} or return fail_channel($number, POSIX::EINVAL(), 'operation');
    start_child(\%channel, sub { enter_root() unless $operation eq 'mount' || $operation eq 'poweroff'; $code->(@rest); 0 });
}

sub fail_channel {
    my ($number, $errno, $stage) = @_;
    send_frame(FAILED, $number, pack('N', $errno) . $stage);
}

# exec: rows and columns (0: no terminal), user, folder, count of arguments, arguments, variables.
sub start_command {
    my ($channel, $rows, $cols, $user, $folder, $count, @rest) = @_;
    my @argv = splice @rest, 0, $count;
    my %env = map { my ($name, $value) = split /=/, $_, 2; ($name => $value) } @rest;
    $channel->{tty} = $rows > 0 ? [$rows, $cols] : 0;
    start_child($channel, sub {
        write_text('/cgroup/sandbox/cgroup.procs', '0');
        enter_root();
        my $home = become($user);
        $env{HOME} = $home if !defined $env{HOME};
        $env{PATH} = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' if !defined $env{PATH};
        chdir($folder eq '' ? '/' : $folder) or die [$! + 0, 'folder'];
        %ENV = %env;
        $SIG{$_} = 'DEFAULT' for qw(PIPE CHLD HUP INT TERM);
        no warnings 'exec';
        exec { $argv[0] } @argv or die [$! + 0, 'command'];
    });
}

# Runs `code` in a process of its own with three pipes, or with a terminal; it ends with the number that `code` gives.
sub start_child {
    my ($channel, $code) = @_;
    my ($in_read, $in, $out, $out_write, $err, $err_write, $report, $report_write);
    if ($channel->{tty}) {
        ($in, my $name) = open_terminal(@{ $channel->{tty} }) or return fail_channel($channel->{number}, $! + 0, 'terminal');
        sysopen($in_read, $name, O_RDWR | O_NOCTTY) or return fail_channel($channel->{number}, $! + 0, 'terminal');
        $out = $in;
    }
    else {
        pipe($in_read, $in) && pipe($out, $out_write) && pipe($err, $err_write)
            or return fail_channel($channel->{number}, $! + 0, 'pipe');
        # Fewer changes from process to process, which cost much where the processor is emulated.
        fcntl($out, F_SETPIPE_SZ, WINDOW);
    }
    pipe($report, $report_write) or return fail_channel($channel->{number}, $! + 0, 'pipe');
    my $pid = fork;
    return fail_channel($channel->{number}, $! + 0, 'fork') if !defined $pid;
    if ($pid == 0) {
        eval {
            # What this process is spared, its children are not: the last program that may end would be the machine.
            write_text('/proc/self/oom_score_adj', '0');
            POSIX::setsid();
            ioctl($in_read, TIOCSCTTY, my $steal = 0) if $channel->{tty};
            POSIX::dup2(fileno $in_read, 0);
            POSIX::dup2(fileno($out_write || $in_read), 1);
            POSIX::dup2(fileno($err_write || $in_read), 2);
            # A pipe ends when its last writer has closed it: that must not be somebody else's operation.
            close $_ for grep { defined } $port, $in, $out, $err, $report, $in_read, $out_write, $err_write;
            close $_ for grep { defined } map { @{$_}{qw(in out err report life)} } values %channels;
            POSIX::_exit($code->());
        };
        my ($errno, $stage) = ref $@ ? @{$@} : (POSIX::EIO(), "$@");
        syswrite($report_write, pack('N', $errno) . $stage);
        POSIX::_exit(127);
    }
    nonblocking($_) for grep { defined } $in, $out, $err;
    my $life = syscall(PIDFD_OPEN, $pid, 0);
    open($channel->{life}, '<&=', $life) if $life >= 0;
    @{$channel}{qw(pid in out err report)} = ($pid, $in, $out, $err, $report);
    $channels{ $channel->{number} } = $of_pid{$pid} = $channel;
}

# Ends with an end of file when the command runs, or says why it does not.
sub read_report {
    my ($channel) = @_;
    my $count = sysread($channel->{report}, my $text, 4096);
    delete $channel->{report};
    if ($count) {
        send_frame(FAILED, $channel->{number}, $text);
        return abandon($channel);
    }
    send_frame(STARTED, $channel->{number}, pack('N', $channel->{pid}));
    send_frame(ERR_END, $channel->{number}, '') if $channel->{tty};
    tell_exit($channel);
}

sub read_output {
    my ($channel, $name) = @_;
    my $most = $channel->{credit}{$name} < CHUNK ? $channel->{credit}{$name} : CHUNK;
    my $count = sysread($channel->{$name}, my $bytes, $most);
    return if !defined $count && ($! == EAGAIN || $! == EINTR);
    if ($count) {
        $channel->{credit}{$name} -= $count;
        return send_frame($name eq 'out' ? OUT : ERR, $channel->{number}, $bytes);
    }
    delete $channel->{$name};
    send_frame($name eq 'out' ? OUT_END : ERR_END, $channel->{number}, '');
}

sub feed {
    my ($channel) = @_;
    my $count = syswrite($channel->{in}, $channel->{pending}, CHUNK);
    if (defined $count) {
        substr($channel->{pending}, 0, $count, '');
        send_frame(TAKEN, $channel->{number}, pack('N', $count));
    }
    elsif ($! != EAGAIN && $! != EINTR) {
        # Nobody reads it any more; what is still to come is taken and lost, as a shell's pipe would.
        send_frame(TAKEN, $channel->{number}, pack('N', length $channel->{pending}));
        $channel->{pending} = '';
        delete $channel->{in} if !$channel->{tty};
    }
    finish_input($channel);
}

sub finish_input {
    my ($channel) = @_;
    return if !$channel->{ended} || $channel->{pending} ne '' || !$channel->{in};
    if ($channel->{tty}) { syswrite($channel->{in}, "\x04"); $channel->{ended} = 0; }
    else { delete $channel->{in}; }
}

# Takes the state of every process that has ended: those of channels, and those whose parents have gone.
sub reap {
    while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) {
        my $status = $?;
        my $channel = delete $of_pid{$pid} or next;
        delete $channel->{life};
        $channel->{reaped} = 1;
        $channel->{status} = $status;
        tell_exit($channel) if !$channel->{report};
        forget($channel);
    }
}

sub tell_exit {
    my ($channel) = @_;
    return if !$channel->{reaped} || $channel->{told} || $channel->{silent};
    $channel->{told} = 1;
    my $status = $channel->{status};
    send_frame(EXIT, $channel->{number}, pack('NN', $status >> 8, $status & 127));
}

# A channel is over when its process has ended and both its outputs too.
sub forget {
    my ($channel) = @_;
    return if !$channel->{reaped} || $channel->{report} || $channel->{out} || $channel->{err};
    delete $channels{ $channel->{number} };
}

sub nonblocking {
    my ($stream) = @_;
    fcntl($stream, F_SETFL, fcntl($stream, F_GETFL, 0) | O_NONBLOCK);
}

sub open_terminal {
    my ($rows, $cols) = @_;
    sysopen(my $master, '/dev/pts/ptmx', O_RDWR | O_NOCTTY) or return;
    my $unlocked = pack('i', 0);
    ioctl($master, TIOCSPTLCK, $unlocked) or return;
    my $number = pack('i', 0);
    ioctl($master, TIOCGPTN, $number) or return;
    set_size($master, $rows, $cols);
    return ($master, '/dev/pts/' . unpack('i', $number));
}

sub set_size {
    my ($terminal, $rows, $cols) = @_;
    my $size = pack('S4', $rows, $cols, 0, 0);
    ioctl($terminal, TIOCSWINSZ, $size);
}

# --- in the child -----------------------------------------------------------------------------------------------------

sub enter_root {
    chdir($root) && chroot('.') or die [$! + 0, 'root'];
}

# `USER`, `UID`, with `:GROUP` or not, as the guest's own files have them. Gives the home directory.
sub become {
    my ($wanted) = @_;
    my ($user, $group) = split /:/, $wanted eq '' ? '0' : $wanted, 2;
    my ($entry) = grep { $_->[0] eq $user || $_->[2] eq $user } entries('/etc/passwd');
    die [POSIX::EINVAL(), "user $user"] if !$entry && $user !~ /^\d+$/;
    my $name = $entry ? $entry->[0] : '';
    my ($uid, $gid) = $entry ? @{$entry}[2, 3] : ($user, 0);
    my @groups = entries('/etc/group');
    my @more = map { $_->[2] } grep { grep { $_ eq $name } split /,/, $_->[3] // '' } @groups;
    if (defined $group) {
        my ($found) = grep { $_->[0] eq $group || $_->[2] eq $group } @groups;
        die [POSIX::EINVAL(), "group $group"] if !$found && $group !~ /^\d+$/;
        ($gid, @more) = ($found ? $found->[2] : $group);
    }
    $) = join ' ', $gid, $gid, @more;
    POSIX::setgid($gid);
    POSIX::setuid($uid) or die [$! + 0, 'user'];
    return $entry && $entry->[5] ? $entry->[5] : '/';
}

sub entries {
    my ($file) = @_;
    open(my $lines, '<', $file) or return;
    return map { chomp; [split /:/, $_, -1] } <$lines>;
}

sub write_text {
    my ($file, $text) = @_;
    sysopen(my $stream, $file, O_WRONLY) or return;
    syswrite($stream, $text);
}

# What goes wrong with a file is said on standard error, the number of the error first.
sub file_error {
    my ($path) = @_;
    my $errno = $! + 0;
    syswrite(STDERR, "$errno $path");
    POSIX::_exit(2);
}

sub copy {
    my ($from, $to) = @_;
    while (1) {
        my $count = sysread($from, my $bytes, WINDOW);
        next if !defined $count && $! == EINTR;
        return defined $count ? 1 : 0 if !$count;
        write_all($to, $bytes) or return 0;
    }
}

sub write_all {
    my ($to, $bytes) = @_;
    for (my $done = 0; $done < length $bytes;) {
        my $count = syswrite($to, $bytes, length($bytes) - $done, $done);
        next if !defined $count && $! == EINTR;
        return 0 if !defined $count;
        $done += $count;
    }
    return 1;
}

sub read_file {
    my ($path) = @_;
    sysopen(my $file, $path, O_RDONLY | O_NONBLOCK) or file_error($path);
    if (-d $file) { $! = POSIX::EISDIR(); file_error($path); }
    copy($file, \*STDOUT) or file_error($path);
}

sub write_file {
    my ($path, $mode) = @_;
    make_folders($path);
    my $whole = $path =~ s{[^/]*$}{}r . ".sallyport-$$-" . ++$made;
    sysopen(my $file, $whole, O_WRONLY | O_CREAT | O_EXCL, 0600) or file_error($path);
    my $done = copy(\*STDIN, $file) && chmod($mode, $whole) && close($file);
    if ($done && -d $path && !-l $path) { $! = POSIX::EISDIR(); $done = 0; }
    return if $done && rename($whole, $path);
    my $errno = $! + 0;
    unlink $whole;
    $! = $errno;
    file_error($path);
}

sub make_folders {
    my ($path) = @_;
    my @names = split m{/}, $path, -1;
    pop @names;
    my $folder = '';
    for my $name (grep { $_ ne '' } @names) {
        $folder .= "/$name";
        mkdir $folder or $! == POSIX::EEXIST() or file_error($folder);
    }
}

# Many small files at once: path, permissions, content; links on the way are followed.
sub put_files {
    my $all = do { local $/; <STDIN> };
    my @fields = unpack('(N/a*)*', $all);
    while (my ($path, $mode, $content) = splice @fields, 0, 3) {
        make_folders($path);
        next if $path =~ m{/$};    # the folders alone
        sysopen(my $file, $path, O_WRONLY | O_CREAT | O_TRUNC, 0600) or file_error($path);
        write_all($file, $content) && chmod(oct $mode, $path) or file_error($path);
    }
}

sub names_in {
    my ($path) = @_;
    opendir(my $folder, $path) or return;
    return sort grep { $_ ne '.' && $_ ne '..' } readdir $folder;
}

sub record {
    my ($name, $path) = @_;
    my @facts = lstat $path or return '';
    my $mode = $facts[2];
    my $kind = S_ISREG($mode) ? 'file' : S_ISDIR($mode) ? 'directory' : S_ISLNK($mode) ? 'symlink' : 'other';
    return pack('(N/a*)*', $name, $kind, $facts[7], S_IMODE($mode), $facts[9]);
}

sub list_folder {
    my ($path) = @_;
    opendir(my $folder, $path) or file_error($path);
    for my $name (names_in($path)) {
        write_all(\*STDOUT, record($name, "$path/$name")) or return;
    }
}

# Everything below, by its path from there. Links are not followed, and other file systems are walked too.
sub walk_tree {
    my ($path) = @_;
    opendir(my $folder, $path) or file_error($path);
    closedir $folder;
    my @left = ('');
    while (defined(my $below = shift @left)) {
        for my $name (names_in("$path/$below")) {
            my $from = $below eq '' ? $name : "$below/$name";
            write_all(\*STDOUT, record($from, "$path/$from")) or return;
            push @left, $from if !-l "$path/$from" && -d _;
        }
    }
}

# Those of the paths where something is; a `*` in one stands for every name of a folder.
sub tell_existing {
    my @paths = map { my ($above, $below) = split /\*/, $_, 2; defined $below ? map({ "$above$_$below" } names_in($above)) : $_ } @_;
    write_all(\*STDOUT, pack('(N/a*)*', grep { -e $_ } @paths));
}

sub mount_at {
    my ($type, $source, $options, $path) = @_;
    chdir($root);
    my $folder = '.';
    for my $name (grep { $_ ne '' } split m{/}, $path) { $folder .= "/$name"; mkdir $folder; }
    my @options = $options eq '' ? () : ('-o', $options);
    exec '/bin/busybox', 'mount', '-t', $type, @options, $source, $folder;
}

# --- ports ------------------------------------------------------------------------------------------------------------

sub connect_tcp {
    my ($address, $number) = @_;
    my $peer;
    socket($peer, PF_INET, SOCK_STREAM, 0) && connect($peer, sockaddr_in($number, inet_aton($address)))
        or file_error("$address:$number");
    my $pid = fork // file_error('fork');
    if ($pid == 0) {
        copy(\*STDIN, $peer);
        shutdown($peer, 1);
        POSIX::_exit(0);
    }
    close STDIN;
    my $whole = copy($peer, \*STDOUT);
    POSIX::close(1);
    $whole or file_error("$address:$number");
    waitpid $pid, 0;
}

# Each datagram is a length and its bytes, both ways.
sub exchange_datagrams {
    my ($address, $number) = @_;
    my $peer;
    socket($peer, PF_INET, SOCK_DGRAM, 0) && connect($peer, sockaddr_in($number, inet_aton($address)))
        or file_error("$address:$number");
    my $waiting = '';
    while (1) {
        my $reads = '';
        vec($reads, fileno $_, 1) = 1 for $peer, \*STDIN;
        select($reads, undef, undef, undef);
        if (vec($reads, fileno $peer, 1) && defined recv($peer, my $datagram, 65536, 0)) {
            write_all(\*STDOUT, pack('n/a*', $datagram)) or return;
        }
        next if !vec($reads, fileno STDIN, 1);
        sysread(STDIN, $waiting, CHUNK, length $waiting) or return;
        while (length $waiting >= 2 && length $waiting >= 2 + unpack('n', $waiting)) {
            send($peer, unpack('n/a*', $waiting), 0);
            substr($waiting, 0, 2 + unpack('n', $waiting), '');
        }
    }
}

# Everybody is asked to end, then the machine is switched off, disks written.
sub power_off {
    my ($grace_ms) = @_;
    my @pids = grep { $_ > 1 && $_ != $$ } members();
    kill 'TERM', @pids if $grace_ms > 0;
    for (my $waited = 0; $waited < $grace_ms && grep({ $_ != $$ } members()); $waited += 20) {
        select(undef, undef, undef, 0.02);
    }
    exec '/bin/busybox', 'poweroff', '-f';
}

sub members {
    open(my $list, '<', '/cgroup/sandbox/cgroup.procs') or return;
    return map { chomp; $_ } <$list>;
}
