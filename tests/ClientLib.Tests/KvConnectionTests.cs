using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using KvStore.Protocol;
using KvStore.Protocol.Tests;

namespace KvStore.Client.Tests;

public sealed class KvConnectionTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public async Task A_put_and_a_get_over_a_real_socket(ushort level)
    {
        var store = new ConcurrentDictionary<string, byte[]>();
        await using var node = new FakeNode((request, ticket) => Answer(store, request, ticket), level);
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint);
        Assert.Equal("n1", connection.Server.NodeName);
        Assert.True(connection.IsOpen);
        var put = await connection.SendAsync(Put("k", "v"));
        Assert.Equal((ErrorCode.None, Outcome.Applied), (put.Code, put.Outcome));
        Assert.Equal("v", Encoding.UTF8.GetString((await connection.SendAsync(Get("k"))).Value.Span));

        // A refusal is an answer and not an exception.
        Assert.Equal(ErrorCode.KeyNotFound, (await connection.SendAsync(Get("absent"))).Code);
    }

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public async Task Thousands_of_pipelined_requests_with_large_values_over_a_real_socket(ushort level)
    {
        var store = new ConcurrentDictionary<string, byte[]>();
        await using var node = new FakeNode((request, ticket) => Answer(store, request, ticket), level);
        await using var connection = await KvConnection.ConnectAsync("127.0.0.1", node.EndPoint.Port);
        var random = new Random(4_711);
        var values = Enumerable.Range(0, 2_000)
            .Select(i => new string((char)('a' + (i % 26)), random.Next(i % 100 == 0 ? 200_000 : 300))).ToArray();
        var puts = values.Select((value, i) => connection.SendAsync(Put($"{i}", value)).AsTask()).ToArray();
        await Task.WhenAll(puts).WaitAsync(Patience);
        var gets = values.Select((_, i) => connection.SendAsync(Get($"{i}")).AsTask()).ToArray();
        var replies = await Task.WhenAll(gets).WaitAsync(Patience);
        for (int i = 0; i < values.Length; i++)
        {
            Assert.Equal(values[i], Encoding.UTF8.GetString(replies[i].Value.Span));
        }
    }

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public async Task A_node_is_asked_in_the_form_of_its_level(ushort level)
    {
        var (near, far) = DuplexPipe.Create();
        var connecting = KvConnection.ConnectAsync(near);
        var hello = await Handshake.ReceiveAsync(far.Input, CancellationToken.None);
        Assert.Equal(FeatureLevel.Max, hello.Client!.Level);
        await Handshake.AcknowledgeAsync(far.Output, FakeNode.Ack with { Level = level }, CancellationToken.None);
        await using var connection = await connecting.WaitAsync(Patience);
        _ = connection.SendAsync(Get("k")).AsTask();
        var read = await far.Input.ReadAtLeastAsync(FrameHeader.SizeBytes + 2).AsTask().WaitAsync(Patience);

        // The first element of a request is a number at level 1 and an array since.
        Assert.Equal(level == FeatureLevel.First ? 0x01 : 0x92, read.Buffer.Slice(FrameHeader.SizeBytes + 1).FirstSpan[0]);
        far.Input.AdvanceTo(read.Buffer.End);
    }

    [Fact]
    public async Task What_an_older_node_does_not_know_is_an_exception_that_proves_nothing_was_sent()
    {
        int handled = 0;
        await using var node = new FakeNode(
            (_, ticket) =>
            {
                handled++;
                ticket.TryComplete(new KvReply());
            },
            FeatureLevel.First);
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint);
        var request = Put("k", "v") with { Requires = Requirements.Principal };
        var e = await Assert.ThrowsAsync<KvException>(async () => await connection.SendAsync(request));
        Assert.Equal((ErrorCode.Unsupported, Outcome.NotApplied, false), (e.Code, e.Outcome, e.Retryable));
        Assert.Equal(ErrorCode.None, (await connection.SendAsync(Put("k", "v"))).Code);
        Assert.Equal(1, handled);
    }

    [Fact]
    public async Task A_node_of_another_cluster_is_refused_with_its_reason()
    {
        await using var node = new FakeNode((_, ticket) => ticket.TryComplete(new KvReply()));
        var options = new KvConnectionOptions { ClusterId = "other" };
        var e = await Assert.ThrowsAsync<KvException>(() => KvConnection.ConnectAsync(node.EndPoint, options));
        Assert.Equal((ErrorCode.InvalidRequest, Outcome.NotApplied, false), (e.Code, e.Outcome, e.Retryable));
        Assert.Contains("this is cluster test", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_at_the_address_is_a_retryable_exception_that_names_it()
    {
        // A port that was free a moment ago.
        var free = new IPEndPoint(IPAddress.Loopback, 0);
        using (var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp))
        {
            probe.Bind(free);
            free = (IPEndPoint)probe.LocalEndPoint!;
        }

        var e = await Assert.ThrowsAsync<KvException>(() => KvConnection.ConnectAsync(free));
        Assert.Equal((ErrorCode.NoLeader, Outcome.NotApplied, true), (e.Code, e.Outcome, e.Retryable));
        Assert.Contains(free.Port.ToString(), e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_node_that_is_silent_in_the_handshake_is_given_up_after_the_time_limit()
    {
        var time = new ManualTime();
        var (near, far) = DuplexPipe.Create();
        var options = new KvConnectionOptions { ConnectTimeout = TimeSpan.FromMilliseconds(300), Time = time };
        var connecting = KvConnection.ConnectAsync(near, options);
        await far.Input.ReadAsync().AsTask().WaitAsync(Patience);
        Assert.False(connecting.IsCompleted);
        time.Advance(301);
        var e = await Assert.ThrowsAsync<KvException>(() => connecting.WaitAsync(Patience));
        Assert.Equal(ErrorCode.Timeout, e.Code);
    }

    [Fact]
    public async Task Something_that_is_no_node_is_recognised()
    {
        var (near, far) = DuplexPipe.Create();
        var connecting = KvConnection.ConnectAsync(near);
        await far.Output.WriteAsync("220 mail.example ESMTP\r\n"u8.ToArray());
        var e = await Assert.ThrowsAsync<KvException>(() => connecting.WaitAsync(Patience));
        Assert.Contains("BadMagic", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_write_that_may_have_arrived_has_an_unknown_outcome_and_a_read_does_not_care()
    {
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int requests = 0;
        var (near, far) = DuplexPipe.Create();
        var serving = FakeNode.ServeAsync(far, (_, _) =>
        {
            if (Interlocked.Increment(ref requests) == 2)
            {
                arrived.SetResult();
            }
        });
        var connection = await KvConnection.ConnectAsync(near);
        var id = new RequestId(new UInt128(0, 1), 2, 3, 2);
        var write = connection.SendAsync(Put("k", "v") with { Id = id }).AsTask();
        var read = connection.SendAsync(Get("k")).AsTask();
        await arrived.Task.WaitAsync(Patience);
        await connection.DisposeAsync();
        var unknown = await Assert.ThrowsAsync<KvOutcomeUnknownException>(() => write.WaitAsync(Patience));
        Assert.Equal((ErrorCode.Indeterminate, Outcome.Unknown, false, id), (unknown.Code, unknown.Outcome, unknown.Retryable, unknown.Id));
        var timeout = await Assert.ThrowsAsync<KvException>(() => read.WaitAsync(Patience));
        Assert.Equal((ErrorCode.Timeout, true), (timeout.Code, timeout.Retryable));

        // Afterwards nothing is sent, and that is proved.
        var closed = await Assert.ThrowsAsync<KvException>(async () => await connection.SendAsync(Put("k", "v")));
        Assert.Equal(Outcome.NotApplied, closed.Outcome);
        Assert.Equal(RequestEnd.NotSent, (await connection.TrySendAsync(Get("k"))).End);
        Assert.False(connection.IsOpen);
        Assert.Equal(ConnectionEndReason.Closed, (await connection.Closed).Reason);

        // The node still owes two answers; without them its side stays open.
        Assert.False(serving.IsCompleted);
    }

    [Fact]
    public async Task A_deadline_passes_without_a_reply()
    {
        var time = new ManualTime();
        var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var (near, far) = DuplexPipe.Create();
        _ = FakeNode.ServeAsync(far, (_, _) => arrived.SetResult());
        await using var connection = await KvConnection.ConnectAsync(near, new KvConnectionOptions { Time = time });
        var write = connection.SendAsync(Put("k", "v") with { TimeoutMs = 1_000 }).AsTask();
        await arrived.Task.WaitAsync(Patience);
        time.Advance(1_000);
        Assert.False(write.IsCompleted);
        time.Advance(1_000);
        await Assert.ThrowsAsync<KvOutcomeUnknownException>(() => write.WaitAsync(Patience));
    }

    [Fact]
    public async Task A_node_that_dies_ends_every_connection_to_it()
    {
        var node = new FakeNode((_, ticket) => ticket.TryComplete(new KvReply()));
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint);
        Assert.Equal(ErrorCode.None, (await connection.SendAsync(Get("k"))).Code);
        await node.DisposeAsync();
        var end = await connection.Closed.WaitAsync(Patience);
        Assert.Contains(end.Reason, new[] { ConnectionEndReason.ClosedByPeer, ConnectionEndReason.Failed });
        Assert.False(connection.IsOpen);
    }

    private static void Answer(ConcurrentDictionary<string, byte[]> store, KvRequest request, ReplyTicket ticket)
    {
        string key = Encoding.UTF8.GetString(request.Key.Span);
        if (request.Operation is Put put)
        {
            store[key] = put.Stored.ToArray();
            ticket.TryComplete(new KvReply { Outcome = Outcome.Applied, Result = new Written(1, Created: true) });
        }
        else if (store.TryGetValue(key, out byte[]? stored))
        {
            ticket.TryComplete(new KvReply { Result = new Found(1, stored) });
        }
        else
        {
            ticket.TryComplete(new KvReply { Code = ErrorCode.KeyNotFound });
        }
    }

    private static KvRequest Get(string key) => new() { Operation = new Get(Encoding.UTF8.GetBytes(key)) };

    private static KvRequest Put(string key, string value) =>
        new() { Operation = new Put(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value)) };
}
