using System.Collections.Concurrent;

namespace KvStore.Protocol.Tests;

/// <summary>
/// Answers in parts over connections that end anywhere and carry anything. Whatever happens, each source is closed once and neither
/// end holds anything afterwards. Threads are involved, so a seed fixes the input and not the run.
/// </summary>
public sealed class StreamChaosTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_server_whose_client_is_cut_off_after_any_byte_holds_nothing()
    {
        // Two answers, one of which goes on to its end and one of which is cancelled.
        byte[] stream =
        [
            .. StreamTests.RequestOf(1), .. StreamTests.CreditOf(1, 1_000), .. StreamTests.RequestOf(2), .. StreamTests.CreditOf(2, 500),
            .. StreamTests.CreditOf(1, 100_000), .. FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, 2, []),
        ];
        for (int cut = 0; cut <= stream.Length; cut++)
        {
            foreach (bool abrupt in new[] { false, true })
            {
                await using var server = new Server(items: 50);
                await server.Near.Output.WriteAsync(stream.AsMemory(0, cut));
                await server.Near.Output.CompleteAsync(abrupt ? new IOException("cut") : null);
                if (abrupt)
                {
                    await server.Near.Input.CompleteAsync();
                }

                await server.AssertOverAsync($"cut after {cut} bytes, abrupt: {abrupt}");
            }
        }
    }

    [Fact]
    public async Task A_client_whose_server_is_cut_off_after_any_byte_has_told_every_reader_the_end()
    {
        byte[] stream =
        [
            .. Item(1), .. Item(2), .. Item(1), .. StreamTests.ReplyOf(2),
            .. FrameTests.FrameOf(
                FrameKind.GoAway, FrameFlags.None, 0, FuzzTests.Encoded(to => StreamCodec.Encode(to, new GoAway(GoAwayReason.Draining, 9)))),
            .. Item(1), .. StreamTests.ReplyOf(1),
        ];
        int replied = 0, lost = 0;
        for (int cut = 0; cut <= stream.Length; cut++)
        {
            var (near, far) = DuplexPipe.Create();
            await using var channel = RequestChannel.Start(near, StreamTests.ChannelOptions);
            var readers = new[] { channel.Open(RequestChannelTests.Get("a"), 1_000), channel.Open(RequestChannelTests.Get("b"), 1_000) };

            // Both have left: what is not told as an answer is lost, not unsent.
            await RequestChannelTests.ReadFrameAsync(far.Input);
            await RequestChannelTests.ReadFrameAsync(far.Input);
            await RequestChannelTests.ReadFrameAsync(far.Input);
            await far.Output.WriteAsync(stream.AsMemory(0, cut));
            await far.Output.CompleteAsync();
            foreach (var reader in readers)
            {
                while (await reader.TakeAsync().AsTask().WaitAsync(Patience) is not null)
                {
                }

                Assert.True(reader.End.End is RequestEnd.Replied or RequestEnd.Lost, $"cut after {cut} bytes: {reader.End.End}");
                replied += reader.End.End == RequestEnd.Replied ? 1 : 0;
                lost += reader.End.End == RequestEnd.Lost ? 1 : 0;
                await reader.DisposeAsync();
            }

            await channel.Completion.WaitAsync(Patience);
            Assert.Equal((0, 0L), (channel.OpenStreams, channel.HeldItemBytes));
        }

        Assert.True(replied > 0 && lost > 0, $"{replied} replied, {lost} lost");
    }

    [Fact]
    public async Task A_server_takes_any_frames_and_holds_nothing_afterwards()
    {
        const int Seed = 31_003;
        var random = new Random(Seed);
        var reasons = new ConcurrentDictionary<ConnectionEndReason, int>();
        for (int round = 0; round < 3_000; round++)
        {
            await using var server = new Server(random.Next(200));
            for (int i = random.Next(1, 30); i > 0; i--)
            {
                byte[] frame = RandomFrame(random);
                int whole = random.Next(20) == 0 ? random.Next(frame.Length) : frame.Length;
                await server.Near.Output.WriteAsync(frame.AsMemory(0, whole));
            }

            await server.Near.Output.CompleteAsync();
            var end = await server.AssertOverAsync($"seed {Seed}, round {round}");
            reasons.AddOrUpdate(end.Reason, 1, (_, count) => count + 1);
            Assert.True(end.Exception is null, $"seed {Seed}, round {round}: {end}");
        }

        Assert.True(reasons.ContainsKey(ConnectionEndReason.ClosedByPeer) && reasons.ContainsKey(ConnectionEndReason.ProtocolViolation));
    }

    [Fact]
    public async Task A_client_takes_any_frames_and_holds_nothing_afterwards()
    {
        const int Seed = 31_004;
        var random = new Random(Seed);
        for (int round = 0; round < 3_000; round++)
        {
            var (near, far) = DuplexPipe.Create(pauseAt: 1 << 20);
            await using var channel = RequestChannel.Start(near, StreamTests.ChannelOptions);
            var readers = Enumerable.Range(0, 3).Select(_ => channel.Open(RequestChannelTests.Get("k"), random.Next(1, 2_000))).ToArray();
            for (int i = random.Next(1, 30); i > 0; i--)
            {
                byte[] frame = RandomFrame(random);
                int whole = random.Next(20) == 0 ? random.Next(frame.Length) : frame.Length;
                await far.Output.WriteAsync(frame.AsMemory(0, whole));
            }

            await far.Output.CompleteAsync();
            foreach (var reader in readers)
            {
                while (await reader.TakeAsync().AsTask().WaitAsync(Patience) is not null)
                {
                }
            }

            var end = await channel.Completion.WaitAsync(Patience);
            Assert.True(end.Exception is null, $"seed {Seed}, round {round}: {end}");
            Assert.True(channel is { OpenStreams: 0, HeldItemBytes: 0 }, $"seed {Seed}, round {round}");
        }
    }

    [Fact]
    public async Task Readers_that_leave_at_any_moment_leave_nothing_behind()
    {
        const int Seed = 31_005;
        var random = new Random(Seed);
        await using var server = new Server(items: 300);
        await using (var channel = RequestChannel.Start(server.Near, StreamTests.ChannelOptions))
        {
            for (int round = 0; round < 500; round++)
            {
                int[] takes = [random.Next(320), random.Next(320), random.Next(320)];
                int window = random.Next(1, 5_000);
                await Task.WhenAll(takes.Select(count => TakeAsync(channel, window, count))).WaitAsync(Patience);
            }

            await StreamTests.UntilAsync(() => channel.OpenStreams == 0 && server.Servers.OpenStreams == 0);
            Assert.Equal(0, channel.HeldItemBytes);
            Assert.True(channel.IsOpen);
        }

        await server.AssertOverAsync($"seed {Seed}");
    }

    private static async Task TakeAsync(RequestChannel channel, int window, int count)
    {
        await using var reader = channel.Open(RequestChannelTests.Get("k"), window);
        for (int i = 0; i < count; i++)
        {
            if (await reader.TakeAsync() is not { } item)
            {
                Assert.Equal((300, RequestEnd.Replied), (i, reader.End.End));
                return;
            }

            Assert.Equal(i, CountingSource.NumberOf(item));
        }
    }

    private static byte[] RandomFrame(Random random)
    {
        ulong id = (ulong)random.Next(1, 5);
        return random.Next(12) switch
        {
            0 or 1 or 2 => StreamTests.RequestOf((ulong)random.Next(1, 200)),
            3 or 4 => StreamTests.CreditOf(id, random.Next(1, 5_000)),
            5 => StreamTests.CreditOf(id, random.Next(4) switch
            {
                0 => long.MaxValue,
                1 => Limits.MaxStreamCreditBytes,
                2 => 0,
                _ => long.MinValue,
            }),
            6 or 7 => FrameTests.FrameOf(FrameKind.Cancel, FrameFlags.None, id, []),
            8 => Item(id),
            9 => random.Next(3) == 0 ? StreamTests.ReplyOf(id) : Item(id),
            10 => FrameTests.FrameOf(FrameKind.Ping, FrameFlags.None, id, []),
            _ => RandomPayload(random, id),
        };
    }

    private static byte[] RandomPayload(Random random, ulong id)
    {
        byte[] payload = new byte[random.Next(20)];
        random.NextBytes(payload);
        return FrameTests.FrameOf((FrameKind)random.Next(4, 13), (FrameFlags)random.Next(4), id, payload);
    }

    private static byte[] Item(ulong id) => FrameTests.FrameOf(FrameKind.Item, FrameFlags.None, id, new byte[30]);

    /// <summary>Our server, whose every request is answered in parts.</summary>
    private sealed class Server : IAsyncDisposable
    {
        private readonly ConcurrentQueue<CountingSource> _sources = [];
        private readonly Task<ConnectionEnd> _serving;

        public Server(int items)
        {
            (Near, var far) = DuplexPipe.Create(pauseAt: 1 << 20);
            _serving = RequestServer.ServeAsync(
                far,
                (_, ticket) =>
                {
                    var source = new CountingSource(items, itemBytes: 30);
                    _sources.Enqueue(source);
                    ticket.TryStream(source);
                },
                new RequestServerOptions { Streams = true, MaxStreams = 8 },
                Servers);
        }

        public DuplexPipe Near { get; }

        public RequestServers Servers { get; } = new();

        public async Task<ConnectionEnd> AssertOverAsync(string because)
        {
            var end = await _serving.WaitAsync(Patience);
            Assert.True(Servers is { OpenStreams: 0, HeldItemBytes: 0 }, because);
            Assert.True(_sources.All(source => source.Closings == 1), because);
            return end;
        }

        public async ValueTask DisposeAsync()
        {
            await Near.Output.CompleteAsync();
            await Near.Input.CompleteAsync();
            await _serving.WaitAsync(Patience);
        }
    }
}
