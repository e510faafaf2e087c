using System.Diagnostics;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>How long the store took for the requests of both doors, as histograms by operation, level and outcome.</summary>
internal sealed class RequestMeter
{
    private static readonly string[] Operations = [.. OperationTable.All.Select(row => row.Name)];
    private static readonly string[] Outcomes = ["ok", "refused", "unknown"];

    /// <summary>Upper ends in seconds: from a local read to the longest deadline.</summary>
    private static readonly double[] BucketEnds =
        [0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

    private static readonly long[] BucketEndTicks = [.. BucketEnds.Select(seconds => (long)(seconds * Stopwatch.Frequency))];

    // [operation, level, outcome]; made up front, so that counting is one increment.
    private readonly Histogram[] _histograms =
    [
        .. Enumerable.Range(0, Operations.Length * KvHeaders.LevelCount * Outcomes.Length)
            .Select(_ => new Histogram(new long[BucketEnds.Length + 1])),
    ];

    public void Record(KvRequest request, KvReply reply, long started)
    {
        int operation = request.Operation.Code - 1;
        if (operation < 0 || operation >= Operations.Length)
        {
            return; // a binary client's invention; the store has refused it
        }

        int level = request.IsWrite ? (int)ReadLevel.Strong : Math.Min((int)request.Read.Level, KvHeaders.LevelCount - 1);
        int outcome = reply.Outcome == Outcome.Unknown ? 2 : reply.IsExecuted && reply.Code != ErrorCode.NotOnAll ? 0 : 1;
        long ticks = Stopwatch.GetTimestamp() - started;
        int bucket = 0;
        while (bucket < BucketEndTicks.Length && ticks > BucketEndTicks[bucket])
        {
            bucket++;
        }

        _histograms[IndexOf(operation, level, outcome)].Add(bucket, ticks);
    }

    public void Write(PrometheusText text)
    {
        text.Family("kvstore_request_duration_seconds", "histogram", "Time from the front door to the reply of the store.");
        for (int operation = 0; operation < Operations.Length; operation++)
        {
            for (int level = 0; level < KvHeaders.LevelCount; level++)
            {
                for (int outcome = 0; outcome < Outcomes.Length; outcome++)
                {
                    Histogram histogram = _histograms[IndexOf(operation, level, outcome)];
                    if (histogram.Count == 0)
                    {
                        continue;
                    }

                    string consistency = KvHeaders.NameOf((ReadLevel)level);
                    string labels = $"op=\"{Operations[operation]}\",consistency=\"{consistency}\",outcome=\"{Outcomes[outcome]}\"";
                    text.Histogram("kvstore_request_duration_seconds", labels, BucketEnds, histogram.Buckets, histogram.Seconds);
                }
            }
        }
    }

    private static int IndexOf(int operation, int level, int outcome) =>
        (((operation * KvHeaders.LevelCount) + level) * Outcomes.Length) + outcome;

    /// <param name="buckets">One more than there are ends: the last one has none.</param>
    private sealed class Histogram(long[] buckets)
    {
        private long _ticks;

        public long[] Buckets => [.. buckets.Select((_, i) => Volatile.Read(ref buckets[i]))];

        public long Count => Buckets.Sum();

        public double Seconds => (double)Volatile.Read(ref _ticks) / Stopwatch.Frequency;

        public void Add(int bucket, long ticks)
        {
            Interlocked.Increment(ref buckets[bucket]);
            Interlocked.Add(ref _ticks, ticks);
        }
    }
}
