using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Http;

/// <summary>Probes: live means do not kill it, startup means wait, ready means send requests.</summary>
internal sealed class HealthEndpoints(FrontDoor door)
{
    public static Task LiveAsync(HttpContext context) => WriteAsync(context, new HealthReport("live"));

    public Task StartupAsync(HttpContext context) => door.Store is { } store
        ? WriteAsync(context, Report("started", store))
        : door.WriteProblemAsync(context, door.Starting());

    public Task ReadyAsync(HttpContext context)
    {
        if (door.Store is not { } store)
        {
            return door.WriteProblemAsync(context, door.Starting());
        }

        Readiness readiness = store.Readiness();
        if (readiness.IsReady)
        {
            return WriteAsync(context, Report("ready", store));
        }

        ErrorCode code = readiness.Reason switch
        {
            NotReady.NoLeader => ErrorCode.NoLeader,
            NotReady.CatchingUp => ErrorCode.Starting,
            NotReady.DiskSick => ErrorCode.Overloaded,
            _ => ErrorCode.Draining,
        };
        return door.WriteProblemAsync(context, new Problem(code, $"{readiness.Detail}.") { Status = StatusCodes.Status503ServiceUnavailable });
    }

    private const long WarnOfLeadSeconds = 60;

    private static HealthReport Report(string status, StoreCalls store)
    {
        IReadOnlyList<GroupStatus> groups = store.Groups();
        RoomStatus room = store.Room();
        long lead = groups.Count == 0 ? 0 : groups.Max(group => group.ClockLeadSeconds);
        return new HealthReport(
            status, groups.Count, groups.Count(group => group.Leader.IsNone),
            Memory: room.IsMemoryShort ? "short" : "enough", Disk: room.TakesNoEntries ? "full" : room.IsDiskShort ? "short" : "enough",
            Clock: lead >= WarnOfLeadSeconds ? $"groups are up to {lead} s ahead of the slowest wall clock of their nodes" : null);
    }

    private static Task WriteAsync(HttpContext context, HealthReport report)
    {
        context.Response.Headers.CacheControl = "no-store";
        return context.Response.WriteAsJsonAsync(report, TopologyJson.Default.HealthReport, cancellationToken: context.RequestAborted);
    }
}
