using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Simulation;

/// <summary>
/// Clients that ask nodes, drawn at random, where everything is, as clients outside do before they send anything and again and again
/// afterwards: mostly for what is newer than the table they have. What a node says may be old and must never be wrong: the table is that of its
/// epoch, whoever is said to lead has been elected in that term, and while a process lives its epoch does not fall.
/// </summary>
public sealed class RoutingReaders
{
    private readonly SimulatedCluster _cluster;
    private readonly SimulatedRandom _random;

    /// <summary>Epoch of the table that each client has.</summary>
    private readonly ulong[] _known = new ulong[Readers];

    /// <summary>The newest epoch of each node, by number, and of which process of it.</summary>
    private readonly (StoreNode? Process, ulong Epoch)[] _said;

    private bool _stopped;

    public RoutingReaders(SimulatedCluster cluster, ulong seed)
    {
        _cluster = cluster;
        _random = new SimulatedRandom(seed ^ Salt);
        _said = new (StoreNode?, ulong)[cluster.Nodes.Count + 1];
    }

    public void Start()
    {
        for (int reader = 0; reader < Readers; reader++)
        {
            AskAgain(reader);
        }
    }

    public void Stop() => _stopped = true;

    /// <summary>
    /// Every node has the newest table, and of each group all its replicas name one leader and one term. True of a cluster that is whole
    /// and has had time.
    /// </summary>
    public bool AllAgree()
    {
        ClusterRouting[] answers = [.. _cluster.Nodes.Select(node => Ask(node, sinceEpoch: 0)).OfType<ClusterRouting>()];
        return answers.Length == _cluster.Nodes.Count
            && answers.All(answer => answer.Revision == _cluster.Placement.Current.Epoch)
            && Enumerable.Range(1, _cluster.Routing.GroupCount).All(number =>
            {
                var group = new GroupId((uint)number);
                GroupLeader[] named = [.. answers.SelectMany(answer => answer.Leaders).Where(leader => leader.Group == group)];
                return named.Length == _cluster.Placement.Current.ReplicasOf(group).Count && named.Distinct().Count() == 1;
            });
    }

    private void AskAgain(int reader) =>
        _cluster.Scheduler.After(_random.Between(MinPauseMicros, MaxPauseMicros), "routing", reader, () =>
        {
            if (_stopped)
            {
                return;
            }

            // One that has just started knows nothing.
            _known[reader] = _random.Chance(0.1) ? 0 : _known[reader];
            if (Ask(_cluster.Nodes[_random.Below(_cluster.Nodes.Count)], _known[reader]) is { } answer)
            {
                _known[reader] = Math.Max(_known[reader], answer.Revision);
                _cluster.Scheduler.Fold(answer.Revision ^ ((ulong)answer.Leaders.Count << 32));
            }

            AskAgain(reader);
        });

    /// <summary>What a node says, held to its word; null when nobody is there to be asked.</summary>
    private ClusterRouting? Ask(SimulatedNode node, ulong sinceEpoch)
    {
        if (node.Store is not { } process || node.IsPaused)
        {
            return null;
        }

        KvReply? reply = null;
        var request = new KvRequest { Operation = new GetRouting(sinceEpoch) };
        process.Submit(request, new ReplySink(answer => reply = answer));
        Require(
            reply is { Code: ErrorCode.None, Result: ClusterRouting }, "routing-answered",
            $"n{node.Id} answered {reply?.Code.ToString() ?? "nothing at once"} when it was asked where everything is: {reply?.Detail}");
        _cluster.Marks.Executed(request.Operation);
        var answer = (ClusterRouting)reply!.Result!;
        Check(node, process, sinceEpoch, answer);
        return answer;
    }

    private void Check(SimulatedNode node, StoreNode process, ulong sinceEpoch, ClusterRouting answer)
    {
        (StoreNode? earlier, ulong epoch) = _said[node.Id.Value];
        Require(
            !ReferenceEquals(earlier, process) || answer.Revision >= epoch, "routing-epoch",
            $"n{node.Id} has the table of epoch {answer.Revision} and had that of {epoch}");
        _said[node.Id.Value] = (process, answer.Revision);

        RoutingTable? table = answer.ToTable();
        Require(
            (table is not null) == (answer.Revision > sinceEpoch), "routing-table",
            $"n{node.Id} has the table of epoch {answer.Revision}, was asked for what is newer than {sinceEpoch} and {(table is null ? "sent none" : "sent it")}");
        Require(
            table is null || IsSame(table, _cluster.Placement.TableOf(answer.Revision)), "routing-table",
            $"n{node.Id} calls another table that of epoch {answer.Revision}");
        Require(
            answer.Nodes.Select(named => named.Node).SequenceEqual(_cluster.Nodes.Select(known => known.Id)), "routing-nodes",
            $"n{node.Id} names the nodes {string.Join(", ", answer.Nodes)}");
        foreach (GroupLeader named in answer.Leaders)
        {
            NodeId elected = _cluster.LeaderOf(named.Group, named.Term);
            Require(
                named.Leader == elected, "routing-leader",
                $"n{node.Id} says that n{named.Leader} leads group {named.Group} in term {named.Term}; elected was {(elected.IsNone ? "nobody" : $"n{elected}")}");
        }
    }

    private static bool IsSame(RoutingTable one, RoutingTable other) =>
        one.VirtualNodeCount == other.VirtualNodeCount && one.GroupCount == other.GroupCount
        && Enumerable.Range(0, one.VirtualNodeCount).All(virtualNode => one.GroupOf(virtualNode) == other.GroupOf(virtualNode))
        && Enumerable.Range(0, one.GroupCount + 1).Select(number => new GroupId((uint)number)).All(group =>
            one.ReplicasOf(group).SequenceEqual(other.ReplicasOf(group)));

    private static void Require(bool holds, string invariant, string what)
    {
        if (!holds)
        {
            throw new SafetyViolationException(invariant, what);
        }
    }

    private const ulong Salt = 0x3075_7E26;
    private const int Readers = 2;
    private const long MinPauseMicros = 100_000;
    private const long MaxPauseMicros = 300_000;
}
