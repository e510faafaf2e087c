using System.Collections.Concurrent;
using System.Diagnostics;
using KvStore.Protocol;
using KvStore.Protocol.Tests;

namespace KvStore.Client.Tests;

/// <summary>What happens on the way between a client and its nodes.</summary>
public sealed class ResilienceTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task A_connection_cut_at_any_byte_of_what_comes_back_costs_no_answer_and_counts_nothing_twice()
    {
        var store = new FakeStore();
        await using var node = new FakeNode(store.Answer);
        long bytes = await BytesOfOneCallAsync(node, store);
        Assert.InRange(bytes, 100, 1000);
        int cut = 0;
        await Parallel.ForAsync(0L, bytes, new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (at, stop) =>
        {
            await using var proxy = new Proxy(node.EndPoint);
            proxy.CutAfter(at);
            await using var kv = new KvClient(proxy.Endpoint);
            Assert.Equal(7, await kv.IncrementAsync($"cut/{at}", 7, cancellationToken: stop));
            Assert.Equal(14, await kv.IncrementAsync($"cut/{at}", 7, cancellationToken: stop));
            Assert.Equal(14, store[$"cut/{at}"]);
            Interlocked.Add(ref cut, proxy.Cuts);
        });
        Assert.InRange(cut, (int)bytes * 9 / 10, (int)bytes);
    }

    [Theory]
    [InlineData(50)]
    [InlineData(500)]
    [InlineData(5_000)]
    public async Task A_deadline_is_kept_within_100_ms_when_the_node_is_silent(int timeoutMs)
    {
        var time = new ManualTime();
        var owed = new ConcurrentQueue<ReplyTicket>();
        await using var node = new FakeNode((request, ticket) =>
        {
            if (request.Operation is GetRouting)
            {
                ticket.TryComplete(new KvReply { Code = ErrorCode.Unsupported });
            }
            else
            {
                owed.Enqueue(ticket);
            }
        });
        await using var answers = new AnswersAtLast(owed);
        await using var kv = new KvClient(new KvClientOptions { Endpoints = { $"kv://{node.EndPoint}" }, Time = time });
        await UntilAsync(kv, time);
        long started = time.GetTimestamp();
        var options = new WriteOptions { Timeout = TimeSpan.FromMilliseconds(timeoutMs) };
        Task<KvWrite> write = kv.PutAsync("k", "v", options).AsTask();
        Task<KvRead> read = kv.GetAsync("k", Read.Strong with { Timeout = options.Timeout }).AsTask();
        (long wrote, long was) = (0, 0);
        while (!write.IsCompleted || !read.IsCompleted)
        {
            time.Advance(10);
            await Task.Delay(1);
            wrote = wrote == 0 && write.IsCompleted ? time.GetTimestamp() - started : wrote;
            was = was == 0 && read.IsCompleted ? time.GetTimestamp() - started : was;
            Assert.True(time.GetTimestamp() - started < timeoutMs + 1000, "the deadline passed");
        }

        var unknown = await Assert.ThrowsAsync<KvOutcomeUnknownException>(() => write);
        Assert.Equal((KvKey?)"k", unknown.Key);
        Assert.NotNull(unknown.Id);
        Assert.Equal(ErrorCode.Timeout, (await Assert.ThrowsAsync<KvException>(() => read)).Code);

        // The clock goes on by 10 ms while threads of the pool still work: a little more than the 100 ms is the test's own.
        Assert.InRange(wrote, timeoutMs - 60, timeoutMs + 100);
        Assert.InRange(was, timeoutMs - 60, timeoutMs + 100);
    }

    [Fact]
    public async Task A_link_that_swallows_everything_is_left_and_the_call_answered_over_the_next_one()
    {
        var store = new FakeStore();
        await using var node = new FakeNode(store.Answer);
        await using var proxy = new Proxy(node.EndPoint);
        await using var kv = new KvClient(proxy.Endpoint);
        Assert.Equal(1, await kv.IncrementAsync("n"));
        proxy.Swallows = true;
        long started = Stopwatch.GetTimestamp();
        while (kv.OpenLinks > 0)
        {
            Assert.True(Stopwatch.GetElapsedTime(started) < TimeSpan.FromSeconds(3.5), "an idle link that is dead was not found");
            await Task.Delay(20);
        }

        Task<long> waiting = kv.IncrementAsync("n").AsTask();
        proxy.Swallows = false;
        Assert.Equal(2, await waiting.WaitAsync(Patience));
    }

    [Fact]
    public async Task A_write_nobody_knows_the_fate_of_can_be_asked_about_and_later_writes_do_not_bury_it()
    {
        var store = new FakeStore();
        bool silent = false;
        var owed = new ConcurrentQueue<ReplyTicket>();
        await using var node = new FakeNode((request, ticket) =>
        {
            if (!silent || request.Operation is GetRouting)
            {
                store.Answer(request, ticket);
            }
            else
            {
                store.Ids.Enqueue(request.Id!.Value);
                owed.Enqueue(ticket);
            }
        });
        await using var answers = new AnswersAtLast(owed);
        await using var kv = new KvClient($"kv://{node.EndPoint}");
        Assert.Equal(1, await kv.IncrementAsync("n"));
        silent = true;
        var unknown = await Assert.ThrowsAsync<KvOutcomeUnknownException>(
            async () => await kv.IncrementAsync("n", options: new WriteOptions { Timeout = TimeSpan.FromMilliseconds(200) }));
        silent = false;
        Assert.Equal((Outcome.Unknown, (KvKey?)"n"), (unknown.Outcome, unknown.Key));
        for (int i = 0; i < 10; i++)
        {
            await kv.IncrementAsync("n");
        }

        // A floor above the lost number would have the store forget it.
        RequestId lost = unknown.Id!.Value;
        RequestId[] later = [.. store.Ids.Reverse().Take(10)];
        Assert.All(later, id => Assert.NotEqual(lost.Client, id.Client));
        Assert.All(store.Ids.Where(id => id.Client == lost.Client), id => Assert.True(id.AckedBelow <= lost.Sequence));
        Assert.Equal(11, store["n"]);
        Assert.True(await kv.ResolveAsync(unknown));
        Assert.Equal(12, store["n"]);
        Assert.True(await kv.ResolveAsync(unknown));
        Assert.Equal(12, store["n"]);
    }

    [Fact]
    public async Task A_client_stays_with_the_cluster_it_met_first()
    {
        var store = new FakeStore();
        await using var node = new FakeNode(store.Answer);
        await using var kv = new KvClient($"kv://{node.EndPoint}");
        await kv.IncrementAsync("n");
        Assert.Equal("test", kv.ClusterId);

        // Another cluster behind the address: refused by its node, and never written to.
        await using var pinned = new KvClient($"Endpoints=kv://{node.EndPoint};ClusterId=other;Timeout=300ms");
        var e = await Assert.ThrowsAsync<KvException>(async () => await pinned.IncrementAsync("n"));
        Assert.Equal((ErrorCode.NoLeader, Outcome.NotApplied), (e.Code, e.Outcome));
        Assert.Contains("this is cluster test", e.Message, StringComparison.Ordinal);
        Assert.Equal(1, store["n"]);
    }

    [Fact]
    public async Task Nobody_there_is_said_with_the_addresses_when_the_time_is_over()
    {
        await using var kv = new KvClient("Endpoints=127.0.0.1:1;Timeout=200ms");
        long started = Stopwatch.GetTimestamp();
        var e = await Assert.ThrowsAsync<KvException>(async () => await kv.PutAsync("k", "v"));
        Assert.Equal((ErrorCode.NoLeader, Outcome.NotApplied, true), (e.Code, e.Outcome, e.Retryable));
        Assert.Contains("127.0.0.1:1", e.Message, StringComparison.Ordinal);
        Assert.InRange(Stopwatch.GetElapsedTime(started).TotalMilliseconds, 190, 1200);
    }

    [Fact]
    public async Task A_client_left_alone_for_ten_minutes_works_again_by_itself()
    {
        var time = new ManualTime();
        var store = new FakeStore();
        await using var node = new FakeNode(store.Answer);
        await using var proxy = new Proxy(node.EndPoint);
        await using var kv = new KvClient(new KvClientOptions { Endpoints = { proxy.Endpoint }, Time = time });
        await UntilAsync(kv, time);
        proxy.Swallows = true;
        for (int second = 0; second < 600; second++)
        {
            for (int i = 0; i < 4; i++)
            {
                time.Advance(250);
                await Task.Yield();
            }
        }

        Assert.Equal(0, kv.OpenLinks);
        proxy.Swallows = false;
        await UntilAsync(kv, time);
        Task<long> counted = kv.IncrementAsync("n").AsTask();
        while (!counted.IsCompleted)
        {
            time.Advance(5);
            await Task.Delay(1);
        }

        Assert.Equal(1, await counted);
    }

    [Fact]
    public async Task Retries_are_counted_against_a_budget()
    {
        int asked = 0;
        await using var node = new FakeNode((request, ticket) =>
        {
            if (request.Operation is not GetRouting)
            {
                Interlocked.Increment(ref asked);
            }

            ticket.TryComplete(new KvReply { Code = ErrorCode.Overloaded, Outcome = Outcome.NotApplied, RetryAfterMs = 1 });
        });
        var options = new KvClientOptions { Endpoints = { $"kv://{node.EndPoint}" } };
        options.Retry.BudgetReserve = 10;
        options.Retry.BaseDelay = options.Retry.MaxDelay = TimeSpan.FromMilliseconds(1);
        await using var kv = new KvClient(options);
        for (int i = 0; i < 100; i++)
        {
            var e = await Assert.ThrowsAsync<KvException>(async () => await kv.GetAsync("k"));
            Assert.Equal(ErrorCode.Overloaded, e.Code);
        }

        // A hundred calls, ten saved up, and a fifth of the calls.
        Assert.InRange(asked, 110, 131);
    }

    /// <summary>A fake node waits for every answer it owes before it is done.</summary>
    private sealed class AnswersAtLast(ConcurrentQueue<ReplyTicket> owed) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            while (owed.TryDequeue(out ReplyTicket ticket))
            {
                ticket.TryComplete(new KvReply { Code = ErrorCode.Draining });
            }

            return ValueTask.CompletedTask;
        }
    }

    private static async Task<long> BytesOfOneCallAsync(FakeNode node, FakeStore store)
    {
        await using var proxy = new Proxy(node.EndPoint);
        await using var kv = new KvClient(proxy.Endpoint);
        await kv.IncrementAsync("measured");
        Assert.Equal(1, store["measured"]);
        return proxy.BytesBack;
    }

    // The sockets are real and take their own time; the client's clock is the test's.
    private static async Task UntilAsync(KvClient kv, ManualTime time)
    {
        Task connecting = Task.Run(async () =>
        {
            while (true)
            {
                try
                {
                    await kv.ConnectAsync();
                    return;
                }
                catch (KvException e) when (e.Code == ErrorCode.Unsupported)
                {
                    return;
                }
                catch (KvException)
                {
                }
            }
        });
        using var patience = new CancellationTokenSource(Patience);
        while (!connecting.IsCompleted)
        {
            time.Advance(5);
            await Task.Delay(1, patience.Token);
        }

        await connecting;
    }
}
