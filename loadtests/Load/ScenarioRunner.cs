using System.Diagnostics;
using System.Threading.Channels;
using KvStore.LoadTests.Servers;

namespace KvStore.LoadTests.Load;

/// <summary>Runs one scenario under one load simulation and measures the servers over the same window.</summary>
internal sealed class ScenarioRunner(IStoreClient client, string door, ServerProbe servers, TimeProvider clock)
{
    /// <summary>After the end of an overloaded open loop, how long answers are waited for; the rest counts as not sent.</summary>
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    public async Task<ScenarioResult> RunAsync(Scenario scenario, LoadSimulation simulation, CancellationToken cancellation)
    {
        long start = clock.GetTimestamp();
        long begin = start + TicksOf(simulation.WarmUp);
        long end = start + TicksOf(simulation.Total);
        var measurement = new Measurement(scenario.Steps, begin, end, clock.TimestampFrequency);
        var ids = RequestIdSource.Random(Random.Shared);

        var users = Enumerable.Range(0, UsersOf(simulation))
            .Select(index => new VirtualUser(index, client, scenario, ids, clock, measurement))
            .ToArray();
        var dueTimes = Channel.CreateUnbounded<long>(new UnboundedChannelOptions { SingleWriter = true });
        var work = simulation is Inject inject
            ? StartOpenLoop(users, dueTimes, new Pacer(dueTimes.Writer, clock, inject.RatePerSecond, start, end), cancellation)
            : [.. users.Select(user => Task.Run(() => user.RepeatUntilAsync(end, cancellation), CancellationToken.None))];

        await DelayUntilAsync(begin, cancellation);
        var before = await servers.SampleAsync(cancellation);
        await DelayUntilAsync(end, cancellation);
        var after = await servers.SampleAsync(cancellation);

        await Task.WhenAny(Task.WhenAll(work), Task.Delay(Grace, clock, cancellation));
        int notSent = 0;
        while (dueTimes.Reader.TryRead(out _))
        {
            notSent++;
        }

        await Task.WhenAll(work);
        return new ScenarioResult(scenario, door, simulation, measurement, notSent, ServerUse.Between(before, after), after);
    }

    private static int UsersOf(LoadSimulation simulation) => simulation switch
    {
        KeepConstant constant => constant.Copies,
        Inject inject => inject.MaxInFlight,
        _ => throw new UnreachableException(),
    };

    private static Task[] StartOpenLoop(VirtualUser[] users, Channel<long> dueTimes, Pacer pacer, CancellationToken cancellation) =>
    [
        Task.Factory.StartNew(
            () => pacer.Run(cancellation), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default),
        .. users.Select(user => Task.Run(() => user.TakeDueAsync(dueTimes.Reader), CancellationToken.None)),
    ];

    private long TicksOf(TimeSpan span) => (long)(span.TotalSeconds * clock.TimestampFrequency);

    private async Task DelayUntilAsync(long timestamp, CancellationToken cancellation)
    {
        var left = clock.GetElapsedTime(clock.GetTimestamp(), timestamp);
        if (left > TimeSpan.Zero)
        {
            await Task.Delay(left, clock, cancellation);
        }
    }
}
