using System.IO.Pipelines;
using System.Net.Sockets;
using KvStore.Node.Binary;
using KvStore.Node.Tests.Http;
using KvStore.Node.Tests.Peers;
using KvStore.Protocol;
using Microsoft.Extensions.DependencyInjection;

namespace KvStore.Node.Tests.Binary;

public sealed class BinaryDoorTests(ScriptedDoor door) : IClassFixture<ScriptedDoor>
{
    private static readonly KvRequest Read = new() { Operation = new Get("key"u8) };

    [Fact]
    public async Task A_client_is_greeted_with_name_identity_and_epoch()
    {
        door.Reset();
        using Dialled dialled = await DialAsync();
        HandshakeResult result = await dialled.GreetAsync(new ClientHello { ClusterId = "test" });
        Assert.Equal("n1", result.Ack!.NodeName);
        Assert.Equal("test", result.Ack.ClusterId);
        Assert.Equal(5ul, result.Ack.Incarnation);
        Assert.Equal(7ul, result.Ack.Epoch);
        Assert.Equal(ProtocolVersion.Max, result.Ack.Protocol);
        Assert.Equal(FeatureLevel.Max, result.Ack.Level);
    }

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public async Task Requests_reach_the_same_store_as_REST_and_replies_find_their_request(ushort level)
    {
        door.Reset();
        door.CompleteLater = true;
        door.Answer = request => ScriptedDoor.Found(request.Key.ToArray(), "text/plain");
        using Dialled dialled = await DialAsync();
        await dialled.GreetAsync(new ClientHello());
        await using RequestChannel channel = StartChannel(dialled, level);
        await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
        {
            byte[] key = BitConverter.GetBytes(i);
            RequestResult result = await channel.SendAsync(Read with { Operation = new Get(key) });
            Assert.Equal(RequestEnd.Replied, result.End);
            Found found = Assert.IsType<Found>(result.Reply!.Result);
            Assert.Equal(key, found.Value.ToArray());
            Assert.Equal("text/plain", found.ContentType);
            Assert.Equal(ScriptedDoor.Evidence(), result.Reply.Evidence);
        }));
    }

    [Theory]
    [InlineData(0, 0, FeatureLevel.First)]
    [InlineData(1, 1, FeatureLevel.First)]
    [InlineData(255, 2, FeatureLevel.First)]
    [InlineData(0, 0, FeatureLevel.Max)]
    [InlineData(1, 1, FeatureLevel.Max)]
    [InlineData(2, 2, FeatureLevel.Max)]
    [InlineData(255, 2, FeatureLevel.Max)]
    public async Task A_request_has_two_hops_at_most(byte hopsLeft, byte submitted, ushort level)
    {
        door.Reset();
        using Dialled dialled = await DialAsync();
        await dialled.GreetAsync(new ClientHello());
        await using RequestChannel channel = StartChannel(dialled, level);
        await channel.SendAsync(Read with { HopsLeft = hopsLeft });
        Assert.Equal(submitted, door.Asked!.HopsLeft);
    }

    [Fact]
    public async Task Another_cluster_is_refused_with_both_names()
    {
        door.Reset();
        using Dialled dialled = await DialAsync();
        HandshakeResult result = await dialled.GreetAsync(new ClientHello { ClusterId = "elsewhere" });
        Assert.Equal(HelloRefusal.WrongCluster, result.Refused!.Reason);
        Assert.Contains("'test'", result.Refused.Detail, StringComparison.Ordinal);
        Assert.Contains("'elsewhere'", result.Refused.Detail, StringComparison.Ordinal);
        await dialled.AssertClosedAsync();
    }

    [Fact]
    public async Task Another_protocol_is_refused()
    {
        door.Reset();
        using Dialled dialled = await DialAsync();
        HandshakeResult result = await dialled.GreetAsync(new ClientHello { ProtocolMin = 90, ProtocolMax = 99 });
        Assert.Equal(HelloRefusal.ProtocolVersion, result.Refused!.Reason);
        await dialled.AssertClosedAsync();
    }

    [Fact]
    public async Task A_node_that_recovers_says_so()
    {
        door.Reset();
        door.Recovered = false;
        using Dialled dialled = await DialAsync();
        HandshakeResult result = await dialled.GreetAsync(new ClientHello());
        Assert.Equal(HelloRefusal.Starting, result.Refused!.Reason);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\n")]
    [InlineData("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")]
    public async Task Garbage_closes_the_connection_is_counted_and_harms_nobody(string garbage)
    {
        door.Reset();
        long before = Counters.MalformedConnections;
        using Dialled dialled = await DialAsync();
        await dialled.Output.WriteAsync(System.Text.Encoding.Latin1.GetBytes(garbage));
        await dialled.AssertClosedAsync();
        Assert.Equal(before + 1, Counters.MalformedConnections);
        using Dialled next = await DialAsync();
        Assert.NotNull((await next.GreetAsync(new ClientHello())).Ack);
    }

    [Theory]
    [InlineData(FrameKind.Hello)]
    [InlineData(FrameKind.Request)]
    public async Task A_first_frame_that_is_no_hello_is_refused_as_malformed(FrameKind kind)
    {
        door.Reset();
        long before = Counters.MalformedConnections;
        using HandshakeLine stranger = await HandshakeLine.DialAsync(door.BinaryAddress);
        await stranger.SendAsync(kind, [0x91, 0x05]);
        HelloRefused refused = await stranger.RefusalAsync();
        Assert.Equal(HelloRefusal.Malformed, refused.Reason);
        Assert.Contains("hello", refused.Detail, StringComparison.Ordinal);
        Assert.True(await stranger.IsClosedAsync());
        Assert.Equal(before + 1, Counters.MalformedConnections);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Random_bytes_after_the_hello_close_the_connection(int seed)
    {
        door.Reset();
        long before = Counters.MalformedConnections;
        byte[] garbage = new byte[512];
        new Random(seed).NextBytes(garbage);
        using Dialled dialled = await DialAsync();
        await dialled.GreetAsync(new ClientHello());
        await dialled.Output.WriteAsync(garbage);
        await dialled.AssertClosedAsync();
        await UntilAsync(() => Counters.MalformedConnections == before + 1, $"seed {seed}: the connection was not counted");
        Assert.Null(door.Asked);
    }

    [Theory]
    [InlineData(FeatureBits.None, FeatureBits.None)]
    [InlineData(FeatureBits.Streams, FeatureBits.Streams)]
    [InlineData((FeatureBits)ulong.MaxValue, FeatureBits.Streams)]
    public async Task The_answer_to_a_hello_holds_the_features_of_both(FeatureBits said, FeatureBits answered)
    {
        door.Reset();
        using Dialled dialled = await DialAsync();
        HandshakeResult result = await dialled.GreetAsync(new ClientHello { Features = said });
        Assert.Equal(answered, result.Ack!.Features);
    }

    [Theory]
    [InlineData(FeatureBits.None)]
    [InlineData(FeatureBits.Streams)]
    public async Task Who_understands_it_is_told_that_the_node_goes_away_and_is_served_until_then(FeatureBits features)
    {
        // A word that is said stays said: a door of its own.
        ScriptedDoor leaving = new();
        await leaving.InitializeAsync();
        try
        {
            using Dialled dialled = await DialAsync(leaving);
            HandshakeResult result = await dialled.GreetAsync(new ClientHello { Features = features });
            bool streams = (result.Ack!.Features & FeatureBits.Streams) != 0;
            await using RequestChannel channel = RequestChannel.Start(
                dialled, new RequestChannelOptions { Streams = streams, PeerLevel = result.Ack.Level });
            Assert.Equal(RequestEnd.Replied, (await channel.SendAsync(Read)).End);
            leaving.Services.GetRequiredService<BinaryDoor>().GoAway(GoAwayReason.Draining, 500);
            if (streams)
            {
                await UntilAsync(() => channel.GoAway is not null, "nothing was said");
                Assert.Equal(new GoAway(GoAwayReason.Draining, 500), channel.GoAway);
                Assert.Equal(RequestEnd.GoingAway, (await channel.SendAsync(Read)).End);
            }
            else
            {
                Assert.Equal(RequestEnd.Replied, (await channel.SendAsync(Read)).End);
                Assert.Null(channel.GoAway);
            }
        }
        finally
        {
            await leaving.DisposeAsync();
        }
    }

    [Fact]
    public async Task Everybody_who_left_is_counted_out()
    {
        door.Reset();
        using (Dialled dialled = await DialAsync())
        {
            await dialled.GreetAsync(new ClientHello());
            Assert.True(Counters.Open >= 1);
        }

        await UntilAsync(() => Counters.Open == 0, "a closed connection is still counted");
    }

    // The client sees the end of a connection a moment before the node has counted it.
    private static async Task UntilAsync(Func<bool> condition, string otherwise)
    {
        using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(20));
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, otherwise);
            await Task.Yield();
        }
    }

    // What is sent is in the form of this feature level, and so must the answer be.
    private static RequestChannel StartChannel(Dialled dialled, ushort level) =>
        RequestChannel.Start(dialled, new RequestChannelOptions { PeerLevel = level });

    private BinaryCounters Counters => door.Services.GetRequiredService<BinaryDoor>().Counters;

    private Task<Dialled> DialAsync() => DialAsync(door);

    private static async Task<Dialled> DialAsync(ScriptedDoor door)
    {
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(door.BinaryAddress);
        return new Dialled(socket);
    }

    private sealed class Dialled : IDuplexPipe, IDisposable
    {
        private readonly NetworkStream _stream;

        public Dialled(Socket socket)
        {
            _stream = new NetworkStream(socket, ownsSocket: true);
            Input = PipeReader.Create(_stream);
            Output = PipeWriter.Create(_stream);
        }

        public PipeReader Input { get; }

        public PipeWriter Output { get; }

        public async Task<HandshakeResult> GreetAsync(ClientHello hello)
        {
            using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(20));
            return await Handshake.DialAsync(this, hello, deadline.Token);
        }

        public async Task AssertClosedAsync()
        {
            using CancellationTokenSource deadline = new(TimeSpan.FromSeconds(20));
            try
            {
                while (true)
                {
                    ReadResult read = await Input.ReadAsync(deadline.Token);
                    Input.AdvanceTo(read.Buffer.End);
                    if (read.IsCompleted)
                    {
                        return;
                    }
                }
            }
            catch (IOException)
            {
                // A reset is a close.
            }
        }

        public void Dispose() => _stream.Dispose();
    }
}
