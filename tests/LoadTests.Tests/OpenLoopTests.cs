using System.Threading.Channels;
using KvStore.LoadTests.Load;
using KvStore.Protocol;

namespace KvStore.LoadTests.Tests;

public sealed class OpenLoopTests
{
    private const long Millisecond = 1_000_000;

    private readonly ManualClock _clock = new();

    [Fact]
    public void Requests_are_due_at_the_rate_whenever_the_pacer_gets_to_run()
    {
        var due = Channel.CreateUnbounded<long>();
        var pacer = new Pacer(due.Writer, _clock, ratePerSecond: 1000, start: 0, end: 10 * Millisecond);
        Assert.True(pacer.ReleaseDue());
        _clock.Now = (3 * Millisecond) + 1;
        Assert.True(pacer.ReleaseDue());
        Assert.Equal(4, pacer.Released);
        _clock.Now = 99 * Millisecond;
        Assert.False(pacer.ReleaseDue());
        Assert.Equal(Enumerable.Range(0, 10).Select(k => k * Millisecond), Drain(due.Reader));
    }

    [Fact]
    public async Task A_stall_is_charged_to_every_request_that_was_due_meanwhile()
    {
        // Ten requests a millisecond apart, one user, and a server that stalls for 100 ms on the first and answers the others at once.
        var measurement = await RunOpenLoopAsync(stallOnFirst: 100 * Millisecond, requests: 10);
        Assert.Equal(10, measurement.LatencyOf(0).Count);
        Assert.InRange(measurement.LatencyOf(0).Max, 100 * Millisecond, 100 * Millisecond);
        Assert.InRange(measurement.LatencyOf(0).Percentile(10), 91 * Millisecond, 92 * Millisecond);
    }

    [Fact]
    public async Task A_closed_loop_sees_the_same_stall_once()
    {
        // The control: the same server behind a closed loop looks fast, which is why an open loop is there.
        var measurement = NewMeasurement(end: 1000 * Millisecond);
        var client = new StallingClient(_clock, 100 * Millisecond, stopAfter: 10, stop: 1000 * Millisecond);
        await NewUser(client, measurement).RepeatUntilAsync(1000 * Millisecond, CancellationToken.None);
        Assert.Equal(10, measurement.LatencyOf(0).Count);
        Assert.Equal(0, measurement.LatencyOf(0).Percentile(80));
    }

    [Fact]
    public void What_is_measured_is_decided_by_when_it_was_due()
    {
        var measurement = new Measurement(Scenario.StepsOf("write"), begin: 100, end: 200, ticksPerSecond: _clock.TimestampFrequency);
        measurement.Record(0, due: 99, answered: 150, ErrorCode.None);
        measurement.Record(0, due: 100, answered: 900, ErrorCode.None);
        measurement.Record(0, due: 199, answered: 199, ErrorCode.None);
        measurement.Record(0, due: 200, answered: 201, ErrorCode.None);
        measurement.Record(0, due: 150, answered: 151, ErrorCode.NoLeader);
        Assert.Equal(2, measurement.LatencyOf(0).Count);
        Assert.Equal(800, measurement.LatencyOf(0).Max);
        Assert.Equal(2, measurement.CompletedInWindow);
        Assert.Equal([KeyValuePair.Create(ErrorCode.NoLeader, 1L)], measurement.Failures);
    }

    private async Task<Measurement> RunOpenLoopAsync(long stallOnFirst, int requests)
    {
        var due = Channel.CreateUnbounded<long>();
        for (int k = 0; k < requests; k++)
        {
            due.Writer.TryWrite(k * Millisecond);
        }

        due.Writer.Complete();
        var measurement = NewMeasurement(end: requests * Millisecond);
        await NewUser(new StallingClient(_clock, stallOnFirst, int.MaxValue, 0), measurement).TakeDueAsync(due.Reader);
        return measurement;
    }

    private Measurement NewMeasurement(long end) => new(Scenario.StepsOf("write"), 0, end, _clock.TimestampFrequency);

    private VirtualUser NewUser(StallingClient client, Measurement measurement)
    {
        var scenario = new Scenario("write", Scenario.StepsOf("write"), new KeySpace(10, zipf: false), ValueBytes: 8, Seed: 1);
        return new VirtualUser(0, client, scenario, new RequestIdSource(1), _clock, measurement);
    }

    private static IEnumerable<long> Drain(ChannelReader<long> reader)
    {
        while (reader.TryRead(out long item))
        {
            yield return item;
        }
    }

    /// <summary>Moves the clock instead of waiting.</summary>
    private sealed class StallingClient(ManualClock clock, long stallOnFirst, int stopAfter, long stop) : IStoreClient
    {
        private int _requests;

        public int NodeCount => 1;

        public ValueTask<KvReply> SendAsync(int node, int lane, KvRequest request, ClientSession? session = null)
        {
            _requests++;
            clock.Now += _requests == 1 ? stallOnFirst : 0;
            clock.Now = _requests == stopAfter ? stop : clock.Now;
            return ValueTask.FromResult(new KvReply());
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
