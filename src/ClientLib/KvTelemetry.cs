using System.Diagnostics;
using System.Diagnostics.Metrics;
using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>
/// What the client tells of its calls: spans of kind client and metrics by the OpenTelemetry conventions for databases. Keys are in neither.
/// </summary>
public static class KvTelemetry
{
    public const string ActivitySourceName = "KvStore.Client";
    public const string MeterName = "KvStore.Client";

    private const string System = "kvstore";
    private static readonly ActivitySource Source = new(ActivitySourceName);
    private static readonly Meter Meter = new(MeterName);
    private static readonly Histogram<double> Duration = Meter.CreateHistogram<double>("db.client.operation.duration", "s");
    private static readonly Counter<long> Retries = Meter.CreateCounter<long>("kvstore.client.retries");
    private static readonly Counter<long> Hedges = Meter.CreateCounter<long>("kvstore.client.hedges");

    internal static Activity? Begin(Operation operation)
    {
        Activity? activity = Source.StartActivity(NameOf(operation), ActivityKind.Client);
        activity?.SetTag("db.system.name", System);
        activity?.SetTag("db.operation.name", NameOf(operation));
        return activity;
    }

    internal static void End(Operation operation, Read read, TimeSpan took, int attempts, in RequestResult last)
    {
        if (attempts > 1)
        {
            Retries.Add(attempts - 1);
        }

        if (Duration.Enabled)
        {
            ErrorCode code = last.Reply?.Code ?? ErrorCode.Timeout;
            Duration.Record(
                took.TotalSeconds,
                new("db.system.name", System),
                new("db.operation.name", NameOf(operation)),
                new("kvstore.consistency", operation is WriteOperation ? "strong" : read.Level.ToString().ToLowerInvariant()),
                new("error.type", code == ErrorCode.None ? null : code.ToString()));
        }
    }

    internal static void Hedged() => Hedges.Add(1);

    private static string NameOf(Operation operation) => OperationTable.Find(operation.Code)?.Name ?? "unknown";
}
