"""Runs what the service sends, inside the sandbox. It is told everything by one pipe, and answers by another.

A message is its length in four bytes, a head of JSON, and as many bytes as the head says. What the code prints goes to the
standard output, errors too, so that their order is kept. Nothing here is trusted by the service: code that runs in this
process can change all of it.
"""

import _ast
import _signal
import _sitebuiltins
import builtins
import errno
import json
import mmap
import os
import resource
import signal
import stat
import sys
import time
import types

channel_in, channel_out = map(int, sys.argv[1].split(","))
folder = sys.argv[2]
own = os.getpid()
scratch = ".tmp"
piece = 262_144
block = 4_096
max_files = 1_000
max_path = 512
max_left = 100
max_nodes = 100_000
max_text = 20_000
max_images = 8
max_image = 3_000_000
max_error = 16_000
max_repr = 200
max_sources = 100
least_depth = 1_000

# The service is served first.
try:
    os.nice(5)
except OSError:
    pass


# Streams. ----------------------------------------------------------------------------------------------------------

# Of its standard input, its output and both ends of the channel, one each above the numbers that code has:
# `os.closerange(3, 256)` is common.
first_kept, count_kept = 256, 4
# It says so when it cannot speak any longer.
channel_lost = 97
identities = {}
streams = {}


def identity_of(number):
    try:
        state = os.fstat(number)
        return (state.st_dev, state.st_ino)
    except OSError:
        return None


def keep_streams():
    global channel_in, channel_out, kept_in, kept_out
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(1, 2)
    fewest, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_above = fewest <= first_kept and (most == resource.RLIM_INFINITY or most >= first_kept + count_kept)
    if is_above:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_kept + count_kept, most))
    at = first_kept if is_above else min(fewest, first_kept) - count_kept
    kept = [os.dup2(number, at + index, inheritable=False) for index, number in enumerate((0, 1, channel_in, channel_out))]
    if is_above:
        resource.setrlimit(resource.RLIMIT_NOFILE, (fewest, most))
    os.close(channel_in)
    os.close(channel_out)
    kept_in, kept_out, channel_in, channel_out = kept
    identities.update({number: identity_of(number) for number in (0, 1, 2, channel_in, channel_out)})


# What code set for itself, while the runner works.
files_of_code = None


def take_room():
    """Some open files more than code has, which may have used up all of its own."""
    global files_of_code
    if files_of_code is None:
        files_of_code = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files_of_code[1], files_of_code[1]))


def give_room():
    global files_of_code
    if files_of_code is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, files_of_code)
        files_of_code = None


def open_streams():
    import io

    words = {"encoding": "utf-8", "errors": "backslashreplace", "line_buffering": True}
    raw = open(1, "wb", closefd=False)
    streams["stdin"] = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)
    streams["stdout"] = sys.__stdout__ = io.TextIOWrapper(raw, **words)
    streams["stderr"] = sys.__stderr__ = io.TextIOWrapper(raw, **words)
    for name, stream in streams.items():
        setattr(sys, name, stream)


def is_open(stream):
    try:
        return not stream.closed
    except ValueError:
        return False


def restore_streams():
    """Whatever code did to them: the next run prints as this one did. @returns what was not as it is."""
    changed = []
    for number in (0, 1, 2):
        if identity_of(number) != identities[number]:
            os.dup2(kept_out if number else kept_in, number)
            changed += [f"descriptor {number}"] if number else []
    are_open = all(is_open(stream) for stream in streams.values())
    changed += [f"sys.{name}" for name, stream in streams.items() if name != "stdin" and (getattr(sys, name, None) is not stream or not is_open(stream))]
    if not are_open:
        open_streams()
    for name, stream in streams.items():
        setattr(sys, name, stream)
    return changed


def require_channel():
    if any(identity_of(number) != identities[number] for number in (channel_in, channel_out)):
        os._exit(channel_lost)


def receive_bytes(count):
    parts = []
    while count > 0:
        part = os.read(channel_in, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive():
    require_channel()
    head = json.loads(receive_bytes(int.from_bytes(receive_bytes(4), "big")))
    return head, receive_bytes(head.get("bytes", 0))


def send(head, data=b""):
    if data:
        head["bytes"] = len(data)
    require_channel()
    text = json.dumps(head).encode()
    rest = memoryview(len(text).to_bytes(4, "big") + text + data)
    while rest:
        rest = rest[os.write(channel_out, rest) :]


def may_interrupt(is_allowed):
    """KeyboardInterrupt where the code of the caller runs, and nowhere else."""
    signal.signal(signal.SIGINT, signal.default_int_handler if is_allowed else signal.SIG_IGN)


# Of signals: what the interpreter began with, and what code has set instead.
own_handlers = {}
handlers_of_code = {}
every_signal = frozenset(signal.valid_signals())
# That of the module signal is a function of Python, which a signal can fail before it does anything.
block_signals = _signal.pthread_sigmask


def begin_signals():
    signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGINT})
    for number, handler in handlers_of_code.items():
        signal.signal(number, handler)
    handlers_of_code.clear()


def end_signals():
    """None of the code's handlers runs in between, however often one is called meanwhile. @returns whether a timer was set."""
    found, had_timer = {}, False
    while True:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, {*own_handlers, signal.SIGINT})
            may_interrupt(False)
            for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
                had_timer = signal.setitimer(timer, 0)[0] > 0 or had_timer
            signal.set_wakeup_fd(-1)
            for number, handler in own_handlers.items():
                now = signal.getsignal(number)
                if now is not handler and now is not None:
                    found.setdefault(number, now)
                    # What waits is thrown away by this.
                    signal.signal(number, signal.SIG_IGN)
                    signal.signal(number, handler)
            handlers_of_code.update(found)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            return had_timer
        except BaseException:
            pass


main = types.ModuleType("__main__")
space = main.__dict__
space["__builtins__"] = builtins
sys.modules["__main__"] = main
sources = {}
runs = 0
loop = None

# As the module site would; that one looks for packages too.
for name in ("quit", "exit"):
    setattr(builtins, name, _sitebuiltins.Quitter(name, "the end of the code"))
builtins.copyright = _sitebuiltins._Printer("copyright", sys.copyright)
builtins.credits = _sitebuiltins._Printer("credits", "Thanks to all who made Python: see https://www.python.org.")
builtins.license = _sitebuiltins._Printer("license", "See https://www.python.org/psf/license/")
builtins.help = _sitebuiltins._Helper()


# Memory that processes share. --------------------------------------------------------------------------------------

shared_memory = "/dev/shm"
# Files that are written by their mapping, which no time of theirs shows.
mapped = set()
kernels_mmap = mmap.mmap


class SharedMmap(kernels_mmap):
    """The sandbox has no shared memory without a file, which could not be counted: so it gets one, without a name."""

    def __new__(cls, fileno, length, *args, **named):
        if fileno != -1:
            made = super().__new__(cls, fileno, length, *args, **named)
            mapped.add(os.fstat(fileno).st_ino)
            return made
        try:
            return super().__new__(cls, fileno, length, *args, **named)
        except PermissionError:
            if args:
                args = (args[0] & ~mmap.MAP_ANONYMOUS, *args[1:])
            if "flags" in named:
                named["flags"] &= ~mmap.MAP_ANONYMOUS
            number = shared_file(length)
            try:
                return super().__new__(cls, number, length, *args, **named)
            finally:
                os.close(number)


SharedMmap.__name__ = SharedMmap.__qualname__ = "mmap"
SharedMmap.__module__ = "mmap"
mmap.mmap = SharedMmap


def shared_file(length):
    number = os.open(shared_memory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        # All of it now: a page that is not there when it is written to would end the process.
        os.posix_fallocate(number, 0, length)
    except OSError:
        os.close(number)
        raise OSError(errno.ENOMEM, "Cannot allocate memory: there is no room for so much shared memory") from None
    return number


# What a run leaves behind. -----------------------------------------------------------------------------------------


def import_own(name):
    """A module of Python's own, also where the folder has a file of this name."""
    import importlib

    paths = sys.path
    sys.path = [path for path in paths if os.path.isabs(path) and not os.path.abspath(path).startswith(folder)]
    try:
        return importlib.import_module(name)
    finally:
        sys.path = paths


def instances(kind):
    import gc

    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def reap():
    """Processes of runs before, that nobody asked for: they would count as if they were there."""
    try:
        if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # Whoever may ask for them later knows by then.
        if "multiprocessing" in sys.modules:
            sys.modules["multiprocessing"].active_children()
        if "subprocess" in sys.modules:
            for one in instances(sys.modules["subprocess"].Popen):
                one.poll()
        while os.waitpid(-1, os.WNOHANG)[0] > 0:
            pass
    except ChildProcessError:
        pass


def end_pools():
    """Their processes end with the run, and without them a call in a later one would wait for ever."""
    pools = sys.modules.get("multiprocessing.pool")
    if not pools or not sys.modules["multiprocessing"].active_children():
        return 0
    running = [pool for pool in instances(pools.Pool) if pool._state == "RUN" and not isinstance(pool, pools.ThreadPool)]
    for pool in running:
        pool.terminate()
    return len(running)


def threads_now():
    threading = sys.modules.get("threading")
    return {thread for thread in threading.enumerate() if thread is not threading.main_thread()} if threading else set()


# Threads that wait for work, and are there as long as their pool is.
idle_names = ("ThreadPoolExecutor-", "asyncio_", "Thread-QueueFeeder", "QueueFeederThread", "ExecutorManagerThread")


def left_behind(before, has_files, had_timer):
    notes = []
    if pools := end_pools():
        notes.append(["pools", str(pools)])
    threads = [thread.name for thread in threads_now() - before if not thread.name.startswith(idle_names)]
    if threads:
        notes.append(["threads", ", ".join(sorted(map(str, threads))[:10])])
    if had_timer:
        notes.append(["timer", ""])
    changed = restore_streams()
    if changed:
        notes.append(["streams", ", ".join(changed)])
    try:
        here = os.getcwd()
    except OSError:
        os.chdir(folder)
        notes.append(["folder-gone", ""])
    else:
        kept = os.path.join(folder, "")
        if not os.path.join(here, "").startswith(kept) or os.path.join(here, "").startswith(os.path.join(folder, scratch, "")):
            notes.append(["folder", here])
    sys.settrace(None)
    sys.setprofile(None)
    return [[kind, well_formed(detail)[:500]] for kind, detail in notes]


def hint_for(error):
    """What the service can say of it, which knows what there is."""
    waiting, seen = [error], []
    while waiting and len(seen) < 20:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or one in seen:
            continue
        seen.append(one)
        if isinstance(one, ModuleNotFoundError) and isinstance(one.name, str):
            return [["module", well_formed(one.name)[:200]]]
        if isinstance(one, OSError) and (type(one).__name__ == "gaierror" or (one.errno in (errno.EPERM, errno.EACCES) and is_of_socket(one))):
            return [["network", ""]]
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args[:3]]
    return []


def is_of_socket(error):
    trace = error.__traceback__
    while trace:
        if os.path.basename(trace.tb_frame.f_code.co_filename) == "socket.py":
            return True
        trace = trace.tb_next
    return False



# The value of the last expression, as JSON. ------------------------------------------------------------------------


class TooMuch(Exception):
    pass


def well_formed(text):
    return text.encode("utf-8", "backslashreplace").decode()


def safe_repr(value, most=max_text):
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return well_formed(text if len(text) <= most else text[:most] + "…")


class Plain:
    """Makes of a value what JSON can say, up to a number of parts."""

    def __init__(self):
        self.nodes = 0
        self.around = set()

    def of(self, value):
        self.nodes += 1
        if self.nodes > max_nodes:
            raise TooMuch
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is int:
            # Python itself refuses to write down very long ones.
            return value if value.bit_length() < 14_000 else hex(value)
        if kind is float:
            return value if value - value == 0 else {"inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), "NaN")
        if isinstance(value, str):
            return well_formed(str(value))
        if isinstance(value, (bytes, bytearray)):
            try:
                return value.decode()
            except UnicodeDecodeError:
                return safe_repr(bytes(value))
        if id(value) in self.around:
            return "…"
        self.around.add(id(value))
        try:
            return self.of_parts(value, kind)
        finally:
            self.around.discard(id(value))

    def of_parts(self, value, kind):
        if isinstance(value, dict):
            return {self.key(key): self.of(one) for key, one in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.of(one) for one in value]
        module = kind.__module__
        if module == "numpy" and hasattr(value, "tolist"):
            return self.of(value.tolist())
        if module in ("datetime", "zoneinfo") and hasattr(value, "isoformat"):
            return value.isoformat()
        if module in ("decimal", "uuid", "pathlib", "datetime", "fractions"):
            return str(value)
        if hasattr(kind, "__dataclass_fields__"):
            return {name: self.of(getattr(value, name, None)) for name in kind.__dataclass_fields__}
        if hasattr(kind, "model_dump"):
            return self.of(value.model_dump(mode="json"))
        enum = sys.modules.get("enum")
        if enum and isinstance(value, enum.Enum):
            return self.of(value.value)
        collections = sys.modules.get("collections")
        if collections and isinstance(value, collections.deque):
            return [self.of(one) for one in value]
        return safe_repr(value)

    @staticmethod
    def key(key):
        if isinstance(key, str):
            return well_formed(str(key))
        return json.dumps(key) if key is None or type(key) is bool else safe_repr(key, 1_000)


def told(value):
    """The value as a text for reading, and as JSON; with whether it was cut."""
    if value is None:
        return {}
    is_cut = False
    try:
        plain = Plain().of(value)
        text = plain if isinstance(value, str) else json.dumps(plain, indent=2, ensure_ascii=False)
        as_json = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    except (TooMuch, RecursionError):
        is_cut = True
        text = safe_repr(value)
        as_json = json.dumps(text, ensure_ascii=False)
    if len(text) > max_text or len(as_json) > max_text:
        is_cut = True
        text = text[:max_text]
        as_json = json.dumps(text, ensure_ascii=False)
    return {"text": text, "json": as_json, "isCut": is_cut}


# Calls of tools, which the gateway makes for a program. --------------------------------------------------------------

max_calls_at_once = 8
max_arguments = 1_000_000
max_name = 200


class ToolError(Exception):
    """A tool that failed. Where it is worth trying again, retry_after_ms says when."""

    def __init__(self, code, message, hint=None, retry_after_ms=None):
        super().__init__(code, message, hint, retry_after_ms)
        self.code, self.message, self.hint, self.retry_after_ms = code, message, hint, retry_after_ms

    def __str__(self):
        return f"{self.code}: {self.message}" if self.hint is None else f"{self.code}: {self.message}\n{self.hint}"


class Calls:
    """Of all threads: each says what it wants, and one of those that wait reads what the others get, too."""

    def __init__(self):
        self.turn = import_own("threading").Condition()
        self.answers = {}
        self.count = self.open = 0
        self.is_reading = self.is_broken = False

    def require_whole(self):
        if os.getpid() != own:
            raise RuntimeError("Only the program itself can call tools, and no process that it starts.")
        if self.is_broken:
            raise RuntimeError("The program was interrupted, and can call no more tools.")

    def call(self, name, arguments):
        if len(name) > max_name:
            raise ToolError("not_found", "No tool has so long a name.")
        data = json.dumps(arguments, allow_nan=False).encode()
        if len(data) > max_arguments:
            raise ToolError("too_large", f"The arguments of {name} have {len(data)} bytes, of at most {max_arguments}.")
        self.require_whole()
        try:
            with self.turn:
                while self.open >= max_calls_at_once and not self.is_broken:
                    self.turn.wait()
                self.require_whole()
                self.count += 1
                self.open += 1
                number = self.count
                before = block_signals(signal.SIG_BLOCK, every_signal)
                try:
                    send({"is": "call", "id": number, "name": name}, data)
                finally:
                    block_signals(signal.SIG_SETMASK, before)
                while number not in self.answers:
                    self.require_whole()
                    if self.is_reading:
                        self.turn.wait()
                    else:
                        self.read()
                self.open -= 1
                self.turn.notify_all()
                return json.loads(self.answers.pop(number))
        except KeyboardInterrupt:
            # Perhaps in the middle of an answer: what comes next is no beginning of one.
            self.is_broken = True
            raise

    def read(self):
        self.is_reading = True
        self.turn.release()
        try:
            head, data = receive()
        finally:
            self.turn.acquire()
            self.is_reading = False
            self.turn.notify_all()
        self.answers[head["id"]] = data


class FleetTool:
    def __init__(self, calls, name):
        self._calls, self._name = calls, name

    def __call__(self, /, *given, **named):
        name = self._name
        if len(given) > 1 or (given and not isinstance(given[0], dict)):
            raise TypeError(f"fleet.{name} takes its arguments by name, such as fleet.{name}(limit=5). find_tools shows them.")
        # What a signature gives as None is not set.
        arguments = {**(given[0] if given else {}), **{key: value for key, value in named.items() if value is not None}}
        answer = self._calls.call(name, arguments)
        error = answer.get("error")
        if error:
            raise ToolError(error["code"], error["message"], error.get("hint"), error.get("retryAfterMs"))
        return answer["value"]

    def __getattr__(self, name):
        """fleet.memory.search_memories is fleet.search_memories: each name is one tool's alone."""
        if name.startswith("_"):
            raise AttributeError(name)
        return FleetTool(self._calls, name)

    def __repr__(self):
        return f"<tool {self._name}>"


class Fleet(types.ModuleType):
    def __init__(self):
        super().__init__("fleet", "Tools of the fleet, each a function.")
        self._calls = Calls()
        self.ToolError = ToolError

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return FleetTool(self._calls, name)

    def call(self, name, arguments=None, /, **named):
        """A tool by its name, also where that is no name of Python."""
        return FleetTool(self._calls, name)(arguments or {}, **named)


# Running. ----------------------------------------------------------------------------------------------------------


def parts_of(code, name):
    """The statements, and the expression at the end whose value is the answer."""
    flags = _ast.PyCF_ONLY_AST | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(code, name, "exec", flags, dont_inherit=True)
    last = tree.body[-1] if tree.body else None
    value = None
    if isinstance(last, _ast.Expr) and not is_silenced(code, last):
        tree.body.pop()
        value = compile(_ast.Expression(last.value), name, "eval", _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return compile(tree, name, "exec", _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True), value


def is_silenced(code, node):
    rest = code.split("\n")[node.end_lineno - 1].encode()[node.end_col_offset :]
    return rest.strip().startswith(b";")


def evaluated(code):
    value = eval(code, space)
    return awaited(value) if isinstance(value, types.CoroutineType) else value


def awaited(coroutine):
    global loop
    asyncio = import_own("asyncio")
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            try:
                loop.run_until_complete(asyncio.wait([task], timeout=1))
            except BaseException:
                pass
        raise


def ran(code, name):
    statements, expression = parts_of(code, name)
    evaluated(statements)
    return None if expression is None else evaluated(expression)


def error_text(error, name):
    linecache, traceback = import_own("linecache"), import_own("traceback")
    for path, source in sources.items():
        linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename not in sources:
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as other:
        text = f"{type(error).__name__}, which cannot be told: {type(other).__name__}\n"
    text = well_formed("".join(line for line in text.splitlines(True) if not line.startswith('  File "<runner>"')))
    return text if len(text) <= max_error else text[: max_error // 2] + "\n…\n" + text[-max_error // 2 :]


def send_images(value):
    images = []
    plots = sys.modules.get("matplotlib.pyplot")
    figures = [plots.figure(number) for number in plots.get_fignums()] if plots else []
    for figure in figures[:max_images]:
        import io

        into = io.BytesIO()
        figure.savefig(into, format="png")
        images.append(into.getvalue())
    if plots:
        plots.close("all")
    if value is not None and not any(value is figure for figure in figures):
        draw = getattr(type(value), "_repr_png_", None)
        png = draw(value) if draw else None
        if isinstance(png, bytes):
            images.append(png)
    for png in images[:max_images]:
        if len(png) <= max_image:
            send({"is": "image"}, png)


def run(head):
    global runs
    runs += 1
    name = "main.py" if runs == 1 else f"main-{runs}.py"
    sources[name] = head["code"]
    if len(sources) > max_sources:
        del sources[next(iter(sources))]
    space["__name__"] = "__main__"
    space.update(head["globals"])
    if head.get("hasFleet"):
        space["fleet"] = sys.modules["fleet"] = Fleet()
        space["ToolError"] = ToolError
    answer = {"is": "done", "status": "success"}
    notes = []
    error = None
    reap()
    before = threads_now()
    try:
        give_room()
        begin_signals()
        may_interrupt(True)
        # Whoever wants to interrupt it waits for this; what comes now is heard when it is not blocked any longer.
        send({"is": "begun"})
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        value = ran(head["code"], name)
        answer.update(told(value))
        send_images(value)
        if value is not None:
            space["_"] = value
        if not head["hasFiles"]:
            import_own("atexit")._run_exitfuncs()
        block_signals(signal.SIG_SETMASK, every_signal)
    except BaseException as raised:
        # A handler of the code that is called from here on would be an error of the runner. The interpreter looks for signals
        # where a function of Python begins, a loop turns and a call has returned: this is before the first of these.
        try:
            block_signals(signal.SIG_SETMASK, every_signal)
        except BaseException:
            pass
        error = raised
    sys.setrecursionlimit(max(sys.getrecursionlimit(), least_depth))
    had_timer = end_signals()
    take_room()
    # Code that ends itself with 0 has done all it wanted.
    if error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0)):
        answer = {"is": "done", "status": "run-error", "error": error_text(error, name)}
        notes = hint_for(error)
    # It holds this frame, which holds it, and all that the code had.
    error = None
    if os.getpid() != own:
        os._exit(0)
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None), *streams.values()):
        try:
            stream.flush()
        except BaseException:
            pass
    answer["notes"] = notes + left_behind(before, head["hasFiles"], had_timer)
    return answer


# Files. ------------------------------------------------------------------------------------------------------------

# As the service has them: state, digest, and whether it changed just before it was looked at. And as it was sent them last,
# with None for what is gone, until it says what it stored.
known = {}
sent = {}
# Files of the service that could not be written here, and why: whatever has their name here is not theirs.
unwritten = {}


def size_of(state):
    return -(-state.st_size // block) * block


def state_of(state):
    # Code can set the time of a change to the content, and not that of a change to the file.
    return (state.st_size, state.st_ctime_ns, state.st_ino)


# The clock of files stands still for some milliseconds: two changes within them have one time.
clock_step_ns = 20_000_000


def row_of(state, digest):
    return (state_of(state), digest, time.time_ns() - state.st_ctime_ns < clock_step_ns)


def is_as_known(path, state):
    row = known.get(path)
    if row is None or row[0] != state_of(state):
        return False
    if not row[2] and state.st_ino not in mapped:
        return True
    digest = 0
    with open(os.path.join(folder, path), "rb", buffering=0) as file:
        while part := file.read(piece):
            digest = hash((digest, part))
    if digest != row[1]:
        return False
    known[path] = row_of(state, digest)
    return True


def why(error):
    return error.strerror or type(error).__name__


def is_long(path):
    return len(path.encode("utf-16-le", "surrogatepass")) > 2 * max_path


def walk():
    """The files of the folder, and what cannot be kept, each with the reason. Nothing is known of what is below that."""
    found = {}
    left = {}
    folders = [""]
    while folders:
        at = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(folder, at)))
        except FileNotFoundError:
            continue
        except OSError as error:
            left[at] = why(error)
            continue
        for entry in entries:
            path = os.path.join(at, entry.name)
            if path == scratch:
                continue
            try:
                if is_long(path):
                    left[path] = f"its path has more than {max_path} characters"
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.append(path)
                elif not entry.is_file(follow_symlinks=False) or path != well_formed(path):
                    left[path] = ""
                elif path in unwritten:
                    left[path] = ""
                else:
                    found[path] = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                pass
            except OSError as error:
                left[path] = why(error)
    return found, left


def is_below(path, left):
    while path:
        if path in left:
            return True
        path = os.path.dirname(path)
    return "" in left


def send_files(most_bytes):
    """Each by itself: what goes wrong with one of them is told, and the others are sent."""
    sent.clear()
    found, left = walk()
    room = max_files - len(unwritten)
    total = 0
    for path in sorted(found, key=lambda path: (path not in known, path)):
        total += size_of(found[path])
        if room <= 0:
            left[path] = f"there are more than {max_files}"
        elif total > most_bytes:
            total -= size_of(found[path])
            left[path] = f"all of them would be more than {most_bytes} bytes"
        else:
            try:
                if not is_as_known(path, found[path]):
                    send_file(path)
            except FileNotFoundError:
                pass
            except OSError as error:
                left[path] = why(error)
        room -= 1
    gone = [path for path in known if path not in found and not is_below(path, left)]
    if gone:
        sent.update(dict.fromkeys(gone))
        send({"is": "gone", "paths": gone})
    left.update({path: f"the stored file could not be put here: {reason}" for path, reason in unwritten.items()})
    told = [well_formed(f"{path or '.'}: {reason}" if reason else path)[:1_000] for path, reason in left.items()]
    return told if len(told) <= max_left else [*told[: max_left - 1], f"and {len(told) - max_left + 1} more"]


def send_file(path):
    # What was a file a moment ago may be a pipe now, which nobody writes to.
    number = os.open(os.path.join(folder, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(number, "rb", buffering=0) as file:
        state = os.fstat(number)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is no file any longer")
        send({"is": "file", "path": path})
        rest = state.st_size
        digest = 0
        while rest > 0 and (part := file.read(min(rest, piece))):
            rest -= len(part)
            digest = hash((digest, part))
            send({"is": "part"}, part)
        send({"is": "whole"})
    sent[path] = row_of(state, digest)


def settle(unkept):
    """The service has stored what it was sent, but for these."""
    for path, row in sent.items():
        if row is None:
            known.pop(path, None)
        elif path not in unkept:
            known[path] = row
    sent.clear()


def put(path, data, is_first):
    """A file of the service. What could be written of it only in part is taken away: it must not go back there."""
    if path in unwritten and not is_first:
        return
    sent.pop(path, None)
    unwritten.pop(path, None)
    try:
        write(path, data, is_first)
    except OSError as error:
        known.pop(path, None)
        unwritten[path] = why(error)
        try:
            os.unlink(os.path.join(folder, path))
        except OSError:
            pass


def write(path, data, is_first):
    full = os.path.join(folder, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    if is_first and (os.path.islink(full) or os.path.isdir(full)):
        os.rename(full, full + ".replaced")
    with open(full, "wb" if is_first else "ab") as file:
        file.write(data)
    digest = 0 if is_first else known[path][1]
    known[path] = row_of(os.stat(full), hash((digest, data)) if data else digest)


# What is there. ----------------------------------------------------------------------------------------------------


def variables():
    listed = []
    for name, value in list(space.items()):
        if name.startswith("_"):
            continue
        row = {"name": well_formed(name)[:max_repr], "type": type(value).__name__[:max_repr], "value": safe_repr(value, max_repr)}
        try:
            shape = getattr(value, "shape", None)
            row["size"] = (str(shape) if isinstance(shape, tuple) else str(len(value)))[:max_repr]
        except BaseException:
            pass
        listed.append(row)
    return sorted(listed, key=lambda row: row["name"])


def page(rows, head):
    return {"rows": rows[head["start"] : head["start"] + head["limit"]], "total": len(rows)}


def packages():
    from importlib import metadata

    found = {}
    for one in metadata.distributions():
        name = one.metadata["Name"]
        if name:
            found.setdefault(name, one.version)
    return [{"name": name, "version": found[name]} for name in sorted(found, key=str.lower)]


def answer_to(head, data):
    op = head["op"]
    if op == "put":
        put(head["path"], data, head["isFirst"])
        return None
    if op == "run":
        if head["hasFiles"] and head["wereFilesKept"]:
            settle(set(head["unkept"]))
        try:
            answer = run(head)
            if head["hasFiles"]:
                answer["left"] = send_files(head["mostBytes"])
                answer["unwritten"] = list(unwritten)
            return answer
        finally:
            os.write(kept_out, head["mark"].encode())
    may_interrupt(True)
    try:
        return {"is": "done", **page(variables() if op == "variables" else packages(), head)}
    finally:
        may_interrupt(False)


def serve():
    may_interrupt(False)
    own_handlers.update({number: signal.getsignal(number) for number in signal.valid_signals() - {signal.SIGINT}})
    for number in [number for number, handler in own_handlers.items() if handler is None or number in (signal.SIGKILL, signal.SIGSTOP)]:
        del own_handlers[number]
    keep_streams()
    open_streams()
    os.makedirs(os.path.join(folder, scratch), exist_ok=True)
    os.chdir(folder)
    sys.path[:0] = [folder]
    sys.path += sys.argv[3:]
    sys.argv = ["main.py"]
    send({"is": "ready"})
    while True:
        try:
            answer = answer_to(*receive())
        except KeyboardInterrupt:
            answer = {"is": "done", "status": "run-error", "error": "KeyboardInterrupt\n"}
        except Exception as error:
            answer = {"is": "done", "status": "run-error", "error": f"The runner failed: {safe_repr(error)}. reset_python_session starts a new one.\n"}
        if answer is not None:
            send(answer)


serve()
