"""TCP proxies between servers, of which single links can be cut or held up: each server connects from an address of its own."""

import asyncio
import threading

from server import free_port


class Link:
    """How connections from one address to one server fare."""

    def __init__(self):
        # "open", "refused" (connections are closed, new ones too) or "stalled" (nothing gets through).
        self.state = "open"
        self.connections = set()


class Proxies:
    """A proxy in front of each server, all in one thread. `targets`: the port of each server."""

    def __init__(self, targets):
        self.targets = targets
        self.ports = [free_port() for _ in targets]
        self.links = {}
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        if not started.wait(10):
            raise SystemExit("the proxies do not start")

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        for index, port in enumerate(self.ports):
            accept = lambda reader, writer, index=index: self.serve(index, reader, writer)
            self.loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", port))
        started.set()
        self.loop.run_forever()

    def link(self, source, index):
        return self.links.setdefault((source, index), Link())

    async def serve(self, index, reader, writer):
        link = self.link(writer.get_extra_info("peername")[0], index)
        if link.state == "refused":
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.targets[index])
        except OSError:
            writer.transport.abort()
            return
        transports = (writer.transport, back.transport)
        link.connections.add(transports)
        await asyncio.gather(self.pass_on(link, reader, back), self.pass_on(link, there, writer))
        link.connections.discard(transports)

    async def pass_on(self, link, reader, writer):
        try:
            while piece := await reader.read(1 << 16):
                while link.state == "stalled":
                    await asyncio.sleep(0.01)
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def set(self, source, index, state):
        """Has the link from an address to a server be open, refused or stalled."""

        def change():
            link = self.link(source, index)
            link.state = state
            if state == "refused":
                for transport in [transport for pair in link.connections for transport in pair]:
                    transport.abort()

        self.loop.call_soon_threadsafe(change)

    def set_all(self, state, sources=None, indexes=None):
        """The same for all links between these addresses and servers that there ever were."""
        for source, index in list(self.links):
            if (sources is None or source in sources) and (indexes is None or index in indexes):
                self.set(source, index, state)
