using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Http;

/// <summary>What would become of a read that this node is sent now, in words: <see cref="ReadRule"/> decides, of reads and here.</summary>
/// <param name="read">As this node would be sent it.</param>
/// <param name="replicas">What each of them said of itself.</param>
/// <param name="own">This node's own replica; null when it has none, and then the others' word about who leads counts.</param>
/// <param name="nodes">Their names.</param>
/// <param name="self">This node.</param>
internal sealed class ReadForecast(
    KvRequest read, IReadOnlyList<ReplicaAnswer> replicas, GroupStatus? own, NodeDirectory nodes, NodeId self)
{
    private string Self => Name(self);

    /// <summary>A deposed leader may not know it yet, and who follows it neither: the highest term is right.</summary>
    private NodeId Leader => replicas.Where(replica => replica.Leads && (own is null || replica.Evidence!.Value.Term > own.Term))
        .OrderByDescending(replica => replica.Evidence!.Value.Term).Select(replica => replica.Node).FirstOrDefault(own?.Leader ?? NodeId.None);

    public ExplainedService Foresee()
    {
        ReplicaAnswer? here = replicas.Where(replica => replica.Node == self).Select(replica => (ReplicaAnswer?)replica).FirstOrDefault();
        if (here is { Evidence: null, Reply.Code: not ErrorCode.WrongNode })
        {
            return new ExplainedService(null, NameOf(ReadStep.Fail), $"{Self} answers no reads: {here.Value.Reply?.Code.ToString() ?? "it is too slow"}.");
        }

        // A replica that has nothing yet would pass the question on, too.
        ReadStanding standing = ReadStanding.Of(here?.Reply, leaderIsKnown: !Leader.IsNone);
        ReadStep step = ReadRule.Decide(read, standing);
        (NodeId by, string reason) = step switch
        {
            ReadStep.Forward => Forwarded(),
            ReadStep.Serve when ReadRule.Meets(read.Read, read.Session, standing) => (self, $"{Self} answers at once from its own replica."),
            ReadStep.Serve => (self, $"{Self} cannot prove {What} and answers all the same, as an eventual read."),
            ReadStep.Ask => (self, $"{Self} cannot prove {What}: it asks the leader {Name(Leader)} for a fresh proof and then answers itself."),
            ReadStep.Wait => Waiting(standing),
            _ when !standing.HasReplica => (NodeId.None, $"{Self} has no replica of the group and may not pass the read on: WrongNode."),
            _ when ReadRule.IsOfAnotherHistory(read.Session, standing.History) =>
                (NodeId.None, "The token is of another history of the group: SessionTokenInvalid."),
            _ => (NodeId.None, $"{Self} cannot prove {What} and may ask nobody: TooStale."),
        };
        return new ExplainedService(by.IsNone ? null : Name(by), NameOf(step), reason);
    }

    private string What => read.Read.Level switch
    {
        ReadLevel.Strong => "a strong read",
        ReadLevel.Session => $"entry {read.Session.Applied}",
        _ => "these bounds",
    };

    private (NodeId By, string Reason) Forwarded() => read.Read.Level == ReadLevel.Strong && !Leader.IsNone
        ? (Leader, $"{Self} has no replica of the group and passes a strong read on to the leader.")
        : (NodeId.None, $"{Self} has no replica of the group and passes the read on to each of them in turn.");

    private (NodeId By, string Reason) Waiting(in ReadStanding standing) => (read.Read, standing) switch
    {
        ({ Level: ReadLevel.Session, OnUnmet: OnUnmet.Fail }, _) =>
            (self, $"{Self} waits until it has applied entry {read.Session.Applied} and asks nobody."),
        (_, { Leads: true }) => (self, $"{Self} leads: it waits for a round of heartbeats that starts after the read."),
        _ => (NodeId.None, $"{Self} knows no leader and waits for one: at the deadline {AtDeadline}."),
    };

    private string AtDeadline => read.Read.Level == ReadLevel.Bounded ? "TooStale" : "NoLeader";

    private static string NameOf(ReadStep step) => step switch
    {
        ReadStep.Serve => "local",
        ReadStep.Wait => "waits",
        ReadStep.Ask => "asks-leader",
        ReadStep.Forward => "forwards",
        _ => "fails",
    };

    private string Name(NodeId node) => nodes.NameOf(node) ?? node.ToString();
}
