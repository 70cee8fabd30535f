import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from catalog_service.engines.channel import ChannelClosedError, FrameChannel
from catalog_service.models import frames


def with_channel(scenario: Callable[[FrameChannel, socket.socket], Awaitable[None]]) -> None:
    async def run() -> None:
        ours, theirs = socket.socketpair()
        channel = FrameChannel(ours)
        with theirs:
            await scenario(channel, theirs)
        channel.close()
        assert ours.fileno() == -1

    asyncio.run(run())


def test_frames_in_any_pieces() -> None:
    async def scenario(channel: FrameChannel, peer: socket.socket) -> None:
        stream = (
            frames.encode_frame(frames.HEAD, b"{}")
            + frames.encode_frame(frames.DATA, b"abcdef")
            + frames.encode_frame(frames.CANCEL)
        )

        async def dribble() -> None:
            for i in range(len(stream)):
                peer.send(stream[i : i + 1])
                await asyncio.sleep(0)

        sending = asyncio.create_task(dribble())
        assert await channel.next_frame() == (frames.HEAD, b"{}")
        assert await channel.next_frame() == (frames.DATA, b"")
        content = b""
        while channel.data_left:
            content += await channel.read_data()
        assert content == b"abcdef"
        assert await channel.next_frame() == (frames.CANCEL, b"")
        await sending

    with_channel(scenario)


def test_a_cancelled_read_loses_nothing() -> None:
    async def scenario(channel: FrameChannel, peer: socket.socket) -> None:
        stream = frames.encode_frame(frames.HEAD, b"x" * 50)
        for cut in (3, 20):
            peer.send(stream[:cut])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await channel.next_frame()
            peer.send(stream[cut:])
            assert await channel.next_frame() == (frames.HEAD, b"x" * 50)

    with_channel(scenario)


def test_the_end_of_the_stream() -> None:
    async def scenario(channel: FrameChannel, peer: socket.socket) -> None:
        assert not channel.at_end()
        peer.send(frames.encode_frame(frames.HEAD)[:3])
        peer.close()
        with pytest.raises(ChannelClosedError):
            await channel.next_frame()
        assert channel.at_end()
        with pytest.raises(ChannelClosedError):
            await channel.send(b"x")

    with_channel(scenario)


def test_closing_wakes_who_waits() -> None:
    async def scenario(channel: FrameChannel, peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reading = asyncio.create_task(channel.next_frame())
        writing = asyncio.create_task(channel.send(bytes(50_000_000)))
        await asyncio.sleep(0.05)
        assert not reading.done()
        assert not writing.done()
        channel.close()
        for task in (reading, writing):
            with pytest.raises(ChannelClosedError):
                await task
        channel.close()

    with_channel(scenario)


def test_large_messages_arrive_whole() -> None:
    async def scenario(channel: FrameChannel, peer: socket.socket) -> None:
        content = bytes(range(256)) * 40_000

        def receive() -> bytes:
            received = b""
            while len(received) < len(content):
                received += peer.recv(1 << 20)
            return received

        receiving = asyncio.create_task(asyncio.to_thread(receive))
        await channel.send(content)
        assert await receiving == content

    with_channel(scenario)


def test_an_idle_channel_reports_the_end() -> None:
    async def scenario(channel: FrameChannel, peer: socket.socket) -> None:
        noticed = asyncio.Event()
        channel.watch(noticed.set)
        await asyncio.sleep(0.01)
        assert not noticed.is_set()
        peer.close()
        async with asyncio.timeout(1):
            await noticed.wait()
        channel.unwatch()

    with_channel(scenario)
