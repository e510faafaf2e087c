using KvStore.Protocol;
using KvStore.Protocol.Tests;

namespace KvStore.Client.Tests;

/// <summary>Answers in parts over real sockets. The read that gives them exists in these tests alone.</summary>
public sealed class ReadItemsTests
{
    private const int ItemBytes = 100;
    private const int Window = 64 << 10;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly KvRequest Get = new() { Operation = new Get("k"u8) };
    private static readonly KvConnectionOptions Options = new() { StreamWindowBytes = Window };

    [Fact]
    public async Task Items_come_in_order_to_the_end()
    {
        await using var node = new FakeNode((_, ticket) => ticket.TryStream(new CountingSource(10_000, ItemBytes)));
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint, Options);
        int next = 0;
        await foreach (byte[] item in connection.ReadItemsAsync(Get))
        {
            Assert.Equal(next++, CountingSource.NumberOf(item));
        }

        Assert.Equal(10_000, next);
    }

    [Fact]
    public async Task Leaving_half_way_of_ten_thousand_items_holds_nothing_at_either_end()
    {
        var source = new CountingSource(10_000, ItemBytes);
        await using var node = new FakeNode((request, ticket) =>
            _ = request.IsWrite ? ticket.TryComplete(new KvReply()) : ticket.TryStream(source));
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint, Options);
        int next = 0;
        await foreach (byte[] item in connection.ReadItemsAsync(Get))
        {
            Assert.Equal(next, CountingSource.NumberOf(item));
            if (++next == 5_000)
            {
                break;
            }
        }

        await source.Closed.WaitAsync(Patience);
        Assert.InRange(source.Given, 5_000, 5_000 + (Window / ItemBytes) + 1);

        // A reply behind the end of the answer: by then both ends have done with it.
        await UntilAsync(() => connection.OpenStreams == 0);
        Assert.Equal(ErrorCode.None, (await connection.SendAsync(Get with { Operation = new Delete("k"u8) })).Code);
        await UntilAsync(() => node.Servers is { OpenStreams: 0, HeldItemBytes: 0 });
        Assert.Equal((0, 0L, 1), (connection.OpenStreams, connection.HeldItemBytes, source.Closings));
    }

    [Fact]
    public async Task An_answer_that_ends_badly_throws_after_the_items_that_came()
    {
        await using var node = new FakeNode((_, ticket) => ticket.TryStream(new FailingSource()));
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint);
        int items = 0;
        var e = await Assert.ThrowsAsync<KvException>(async () =>
        {
            await foreach (byte[] item in connection.ReadItemsAsync(Get))
            {
                items++;
            }
        });
        Assert.Equal((ErrorCode.Compacted, 2), (e.Code, items));
    }

    [Fact]
    public async Task Cancelling_the_loop_cancels_the_answer()
    {
        var source = new CountingSource(10) { PauseAt = 3 };
        await using var node = new FakeNode((_, ticket) => ticket.TryStream(source));
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint);
        using var cancel = new CancellationTokenSource();
        int items = 0;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (byte[] item in connection.ReadItemsAsync(Get, cancel.Token))
            {
                if (++items == 3)
                {
                    await cancel.CancelAsync();
                }
            }
        });
        await source.Closed.WaitAsync(Patience);
        Assert.True(connection.IsOpen);
    }

    [Fact]
    public async Task A_node_that_does_not_know_them_is_not_asked_and_serves_everything_else()
    {
        int asked = 0;
        await using var node = new FakeNode(
            (_, ticket) =>
            {
                asked++;
                ticket.TryComplete(new KvReply());
            },
            features: FeatureBits.None);
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint);
        var e = await Assert.ThrowsAsync<KvException>(async () =>
        {
            await foreach (byte[] item in connection.ReadItemsAsync(Get))
            {
            }
        });
        Assert.Equal((ErrorCode.Unsupported, Outcome.NotApplied), (e.Code, e.Outcome));
        Assert.Equal(ErrorCode.None, (await connection.SendAsync(Get)).Code);
        Assert.Equal(1, asked);
        node.Servers.GoAway(new GoAway(GoAwayReason.Draining, 1_000));
        Assert.Equal(ErrorCode.None, (await connection.SendAsync(Get)).Code);
        Assert.Null(connection.GoAway);
    }

    [Fact]
    public async Task A_node_that_goes_away_is_sent_nothing_new_and_that_is_proved()
    {
        int asked = 0;
        await using var node = new FakeNode((_, ticket) =>
        {
            asked++;
            ticket.TryComplete(new KvReply());
        });
        await using var connection = await KvConnection.ConnectAsync(node.EndPoint);
        node.Servers.GoAway(new GoAway(GoAwayReason.Draining, 1_000));
        await UntilAsync(() => connection.GoAway is not null);
        var e = await Assert.ThrowsAsync<KvException>(async () => await connection.SendAsync(Get with { Operation = new Put("k"u8, default) }));
        Assert.Equal((ErrorCode.Draining, Outcome.NotApplied, true), (e.Code, e.Outcome, e.Retryable));
        Assert.Equal(0, asked);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var deadline = new CancellationTokenSource(Patience);
        while (!condition())
        {
            Assert.False(deadline.IsCancellationRequested, "what was waited for did not happen");
            await Task.Yield();
        }
    }

    private sealed class FailingSource : ItemSource
    {
        private int _given;

        public override KvReply Reply => new() { Code = ErrorCode.Compacted, Detail = "gone" };

        public override ItemStep Next(System.Buffers.IBufferWriter<byte> item)
        {
            item.GetSpan(1)[0] = 1;
            item.Advance(1);
            return ++_given > 2 ? ItemStep.End : ItemStep.Item;
        }

        public override void Close()
        {
        }
    }
}
