using KvStore.Protocol;

namespace KvStore.Simulation;

/// <summary>
/// What one request may cost the nodes that pass it on: whoever asks in vain makes pauses. A bound far above what they do, and far below what
/// they would do without.
/// </summary>
public sealed class Forwards(Scheduler scheduler, RoutingTable routing, CoverageMarks marks)
{
    private readonly Dictionary<NodeId, Dictionary<Protocol.Operation, int>> _thisSecond = [];
    private long _second;

    /// <summary>Groups whose nodes are mostly away.</summary>
    public HashSet<GroupId> WithoutMajority { get; } = [];

    public void OnForwarded(NodeId from, KvRequest request)
    {
        marks.Hit(CoverageMarks.AskedThroughAThirdNode, request.HopsLeft > 0 ? 1 : 0);
        marks.Hit(CoverageMarks.ForwardedWithoutMajority, WithoutMajority.Contains(routing.GroupOf(request.Key.Span)) ? 1 : 0);
        long second = scheduler.NowMicros / 1_000_000;
        if (second != _second)
        {
            _second = second;
            _thisSecond.Clear();
        }

        if (!_thisSecond.TryGetValue(from, out Dictionary<Protocol.Operation, int>? counts))
        {
            _thisSecond.Add(from, counts = new Dictionary<Protocol.Operation, int>(ReferenceEqualityComparer.Instance));
        }

        int count = counts.GetValueOrDefault(request.Operation) + 1;
        counts[request.Operation] = count;
        if (count > MostInASecond)
        {
            throw new SafetyViolationException(
                "forwards-bounded", $"n{from} has passed on one {request.Operation.GetType().Name} {count} times within a second");
        }
    }

    /// <summary>Of one request with twenty late copies at one node, ten attempts each would still be fewer.</summary>
    private const int MostInASecond = 300;
}
