"""Runs what the service sends, inside the sandbox. It is told everything by one socket, and answers there.

A message is its length in four bytes, a head of JSON, and as many bytes as the head says. What the code prints goes to the
standard output, errors too, so that their order is kept. Nothing here is trusted by the service: code that runs in this
process can change all of it.
"""

import _ast
import builtins
import errno
import json
import os
import signal
import stat
import sys
import types

channel = int(sys.argv[1])
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

# The service is served first.
try:
    os.nice(5)
except OSError:
    pass


def receive_bytes(count):
    parts = []
    while count > 0:
        part = os.read(channel, min(count, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def receive():
    head = json.loads(receive_bytes(int.from_bytes(receive_bytes(4), "big")))
    return head, receive_bytes(head.get("bytes", 0))


def send(head, data=b""):
    if data:
        head["bytes"] = len(data)
    text = json.dumps(head).encode()
    rest = memoryview(len(text).to_bytes(4, "big") + text + data)
    while rest:
        rest = rest[os.write(channel, rest) :]


def prepare_streams():
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(1, 2)
    raw = open(1, "wb", closefd=False)
    words = {"encoding": "utf-8", "errors": "backslashreplace", "line_buffering": True}
    import io

    sys.stdin = open(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(raw, **words)
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(raw, **words)


def may_interrupt(is_allowed):
    """KeyboardInterrupt where the code of the caller runs, and nowhere else."""
    signal.signal(signal.SIGINT, signal.default_int_handler if is_allowed else signal.SIG_IGN)


main = types.ModuleType("__main__")
space = main.__dict__
space["__builtins__"] = builtins
sys.modules["__main__"] = main
sources = {}
runs = 0
loop = None


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
    import asyncio

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
    import linecache
    import traceback

    for path, source in sources.items():
        linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename not in sources:
        trace = trace.tb_next
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except BaseException as other:
        text = f"{type(error).__name__}, which cannot be told: {type(other).__name__}\n"
    text = well_formed(text)
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
    answer = {"is": "done", "status": "success"}
    try:
        may_interrupt(True)
        value = ran(head["code"], name)
        answer.update(told(value))
        send_images(value)
        if value is not None:
            space["_"] = value
    except BaseException as error:
        may_interrupt(False)
        answer = {"is": "done", "status": "run-error", "error": error_text(error, name)}
    may_interrupt(False)
    if os.getpid() != own:
        os._exit(0)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass
    return answer


# Files. ------------------------------------------------------------------------------------------------------------

# As the service has them; and as it was sent them last, with None for what is gone, until it says what it stored.
known = {}
sent = {}
# Files of the service that could not be written here, and why: whatever has their name here is not theirs.
unwritten = {}


def size_of(state):
    return -(-state.st_size // block) * block


def state_of(state):
    return (state.st_size, state.st_mtime_ns, state.st_ino)


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
        elif known.get(path) != state_of(found[path]):
            try:
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
        while rest > 0 and (part := file.read(min(rest, piece))):
            rest -= len(part)
            send({"is": "part"}, part)
        send({"is": "whole"})
    sent[path] = state_of(state)


def settle(unkept):
    """The service has stored what it was sent, but for these."""
    for path, state in sent.items():
        if state is None:
            known.pop(path, None)
        elif path not in unkept:
            known[path] = state
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
    known[path] = state_of(os.stat(full))


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
        answer = run(head)
        if head["hasFiles"]:
            answer["left"] = send_files(head["mostBytes"])
            answer["unwritten"] = list(unwritten)
        os.write(1, head["mark"].encode())
        return answer
    may_interrupt(True)
    try:
        return {"is": "done", **page(variables() if op == "variables" else packages(), head)}
    finally:
        may_interrupt(False)


def serve():
    may_interrupt(False)
    prepare_streams()
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
            answer = {"is": "done", "status": "run-error", "error": f"The runner failed: {safe_repr(error)}\n"}
        if answer is not None:
            send(answer)


serve()
