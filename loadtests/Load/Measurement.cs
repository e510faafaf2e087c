using System.Collections.Concurrent;
using KvStore.LoadTests.Measuring;
using KvStore.Protocol;

namespace KvStore.LoadTests.Load;

/// <summary>What one scenario run has seen inside its window [begin, end), in ticks of the run's clock. Any thread records.</summary>
internal sealed class Measurement(IReadOnlyList<Step> steps, long begin, long end, long ticksPerSecond)
{
    private readonly LatencyHistogram[] _latencies = [.. steps.Select(_ => new LatencyHistogram())];
    private readonly ConcurrentDictionary<ErrorCode, long> _failures = [];
    private long _completedInWindow;

    public LatencyHistogram LatencyOf(int step) => _latencies[step];

    public IReadOnlyDictionary<ErrorCode, long> Failures => _failures;

    /// <summary>Successes whose answer arrived inside the window, whenever they were due: what the servers did in that time.</summary>
    public long CompletedInWindow => Interlocked.Read(ref _completedInWindow);

    /// <param name="step">Index of the step.</param>
    /// <param name="due">When the request should have left: intended send time of an open loop, actual one of a closed loop.</param>
    /// <param name="answered">When the answer was there.</param>
    /// <param name="code">How it ended. A read that finds nothing is an answer like any other.</param>
    public void Record(int step, long due, long answered, ErrorCode code)
    {
        bool succeeded = code is ErrorCode.None or ErrorCode.KeyNotFound;
        if (succeeded && answered >= begin && answered < end)
        {
            Interlocked.Increment(ref _completedInWindow);
        }

        // Which requests are measured is decided by when they were due, never by how long they took: otherwise the slow ones
        // would fall out at the end of the window.
        if (due < begin || due >= end)
        {
            return;
        }

        if (succeeded)
        {
            _latencies[step].Record((long)((answered - due) * (1e9 / ticksPerSecond)));
        }
        else
        {
            _failures.AddOrUpdate(code, 1, (_, count) => count + 1);
        }
    }
}
