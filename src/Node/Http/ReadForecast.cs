using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>
/// What would become of a read that this node is sent now, by the rules of the store and what the replicas have said: a node
/// answers from its own replica when that proves the level, asks the leader when it does not, and passes on only what it has no
/// replica for.
/// </summary>
internal sealed class ReadForecast(KvRequest read, IReadOnlyList<ReplicaAnswer> replicas, NodeDirectory nodes, NodeId self)
{
    private const string Local = "local";
    private const string Waits = "waits";
    private const string AsksLeader = "asks-leader";
    private const string Forwards = "forwards";
    private const string Fails = "fails";

    private string Self => Name(self);

    /// <summary>A deposed leader may not know it yet: the highest term is right.</summary>
    private NodeId Leader => replicas.Where(replica => replica.Leads).OrderByDescending(replica => replica.Evidence!.Value.Term)
        .Select(replica => replica.Node).FirstOrDefault();

    public ExplainedService Foresee()
    {
        foreach (ReplicaAnswer replica in replicas)
        {
            if (replica.Node == self)
            {
                return replica.Evidence is null
                    ? new ExplainedService(null, Fails, $"{Self} answers no reads: {replica.Reply?.Code.ToString() ?? "it is too slow"}.")
                    : ForeseeHere(replica);
            }
        }

        NodeId leader = Leader;
        return read.Read.Level == ReadLevel.Strong && !leader.IsNone
            ? new ExplainedService(Name(leader), Forwards, $"{Self} has no replica of the group and passes a strong read on to the leader.")
            : new ExplainedService(null, Forwards, $"{Self} has no replica of the group and passes the read on to each of them in turn.");
    }

    private ExplainedService ForeseeHere(ReplicaAnswer here)
    {
        bool canServe = here.Judge(read).CanServe;
        if (read.Read.Level == ReadLevel.Strong)
        {
            return here.Leads
                ? new ExplainedService(Self, Waits, $"{Self} leads: it waits for a round of heartbeats that starts after the read.")
                : Unmet("a strong read", NeedsProof());
        }

        if (canServe)
        {
            return new ExplainedService(Self, Local, $"{Self} answers at once from its own replica.");
        }

        if (read.Read.Level == ReadLevel.Session)
        {
            return here.Reply is { History: not 0 } reply && reply.History != read.Session.History
                ? new ExplainedService(null, Fails, "The token is of another history of the group: SessionTokenInvalid.")
                : Unmet($"entry {read.Session.Applied}", new ExplainedService(
                    Self, Waits, $"{Self} waits until it has applied entry {read.Session.Applied}; the leader helps if that takes long."));
        }

        return Unmet("these bounds", here.Leads
            ? new ExplainedService(Self, Waits, $"{Self} leads: it waits for a round of heartbeats, which makes its state fresh.")
            : NeedsProof());
    }

    /// <summary>What its caller asked for in this case; <paramref name="otherwise"/> is the default.</summary>
    private ExplainedService Unmet(string what, ExplainedService otherwise) => read.Read.OnUnmet switch
    {
        OnUnmet.Serve when read.Read.Level != ReadLevel.Strong || Leader.IsNone =>
            new ExplainedService(Self, Local, $"{Self} cannot prove {what} and answers all the same, as an eventual read."),
        OnUnmet.Fail when read.Read.Level == ReadLevel.Session =>
            new ExplainedService(Self, Waits, $"{Self} waits until it has applied entry {read.Session.Applied} and asks nobody."),
        OnUnmet.Fail => new ExplainedService(null, Fails, $"{Self} cannot prove {what} and may ask nobody: TooStale."),
        _ => otherwise,
    };

    private ExplainedService NeedsProof() => Leader is { IsNone: false } leader
        ? new ExplainedService(Self, AsksLeader, $"{Self} asks the leader {Name(leader)} for a fresh proof and then answers itself.")
        : new ExplainedService(null, Fails, $"No leader can be reached: {(read.Read.Level == ReadLevel.Strong ? "NoLeader" : "TooStale")}.");

    private string Name(NodeId node) => nodes.NameOf(node) ?? node.ToString();
}
