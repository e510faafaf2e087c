using KvStore.Protocol;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>
/// The schedules in which a store without one of the rules increments a counter twice for one request. The product must not.
/// </summary>
public sealed class ExactlyOnceTests
{
    private static readonly KvRequest FirstFromTheFuture = Increment("n", id: Id(1, 1, firstSent: Start + Hour));
    internal static readonly KvRequest First = Increment("n", id: Id(1, 1, firstSent: Start));

    // Group time of each entry, and its one request; the counted request is the first.
    internal static readonly Dictionary<string, (ulong TimeMs, KvRequest Request)[]> Schedules = new()
    {
        ["dedup_trim_boundary"] = [(Start, First), (Start + D, First)],
        ["dedup_ackedbelow_stalled_copy"] =
        [
            (Start, First), (Start, Increment("n", id: Id(1, 2, firstSent: Start, ackedBelow: 2))), (Start + 1, First),
        ],
        ["dedup_floor_outlives_a_clock_that_stepped_back"] =
        [
            (Start, FirstFromTheFuture), (Start, Increment("n", id: Id(1, 2, firstSent: Start, ackedBelow: 2))),
            (Start + D + 1, FirstFromTheFuture),
        ],
        ["dedup_floor_never_goes_down"] =
        [
            (Start, First), (Start, Increment("n", id: Id(1, 9, ackedBelow: 9))), (Start, Increment("n", id: Id(1, 10, ackedBelow: 0))),
            (Start, Increment("n", id: Id(1, 11, ackedBelow: 1))), (Start, First),
        ],
    };

    [Theory]
    [InlineData("dedup_trim_boundary")]
    [InlineData("dedup_ackedbelow_stalled_copy")]
    [InlineData("dedup_floor_outlives_a_clock_that_stepped_back")]
    [InlineData("dedup_floor_never_goes_down")]
    public void A_request_is_executed_once(string schedule)
    {
        var machine = new Machine();
        var restarting = new Machine();
        var results = new List<CommandResult>();
        foreach ((ulong time, KvRequest request) in Schedules[schedule])
        {
            results.Add(machine.ApplyAt(time, request)[0]);
            restarting = restarting.Restarted();
            Assert.Equal(results[^1], restarting.ApplyAt(time, request)[0]);
        }

        Assert.Equal(1, Executions(schedule, results));
    }

    internal static int Executions(string schedule, List<CommandResult> results)
    {
        (ulong TimeMs, KvRequest Request)[] steps = Schedules[schedule];
        return Enumerable.Range(0, steps.Length).Count(
            i => steps[i].Request.Id == steps[0].Request.Id && results[i] is { Code: ErrorCode.None, Duplicate: false });
    }
}
