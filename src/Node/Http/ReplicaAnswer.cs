using KvStore.Protocol;
using KvStore.Replication;

namespace KvStore.Node.Http;

/// <summary>What one replica said about itself when it was asked for an explanation.</summary>
/// <param name="Node">Where it lives.</param>
/// <param name="Reply">Null: no answer in time.</param>
internal readonly record struct ReplicaAnswer(NodeId Node, KvReply? Reply)
{
    /// <summary>Null when it did not answer, or answered that it cannot say.</summary>
    public Evidence? Evidence => Reply?.Evidence;

    public bool Leads => Evidence is { Role: ServedRole.Leader };

    /// <summary>As it tells of itself; whom it follows it does not tell.</summary>
    public ReadStanding Standing => ReadStanding.Of(Reply, leaderIsKnown: Leads);

    /// <summary>Whether it could answer this read now: with what it has, or, being the leader, after one round of its own.</summary>
    public (bool CanServe, string Reason) Judge(KvRequest read)
    {
        if (Evidence is not { } evidence)
        {
            return (false, Reply is null ? "It did not answer within a second." : $"It could not say: {Reply.Code}.");
        }

        if (ReadRule.IsOfAnotherHistory(read.Session, Reply!.History))
        {
            return (false, "The group was restored or begun anew since the token was made.");
        }

        return read.Read.Level == ReadLevel.Strong
            ? (Leads, Leads
                ? "It leads: a round of heartbeats that starts after the read proves that nothing is missing."
                : "It does not lead: only the leader's word proves that nothing is missing.")
            : (ReadRule.Meets(read.Read, read.Session, Standing), read.Read.Level switch
            {
                ReadLevel.Bounded => OfBounds(read.Read, evidence),
                ReadLevel.Session => OfSession(read.Session, evidence),
                _ => "Any replica may answer an eventual read.",
            });
    }

    private string OfBounds(ReadTerms read, in Evidence evidence)
    {
        if (!ReadRule.IsYoungEnough(read, evidence.AgeMs))
        {
            return evidence.AgeMs == Protocol.Evidence.AgeUnknown
                ? "It has no proof of how old its state is."
                : $"Its state may be {evidence.AgeMs} ms old, and {read.MaxStalenessMs} ms are the limit.";
        }

        if (!ReadRule.IsNearEnough(read, Reply!.Lag))
        {
            return Reply.Lag is { } lag
                ? $"It may be {lag.Entries} entries behind, and {read.MaxLag} are the limit."
                : "It has no proof of how far behind it is.";
        }

        return (read.MaxStalenessMs, read.MaxLag) switch
        {
            ( > 0, { } entries) => $"Its state is at most {evidence.AgeMs} ms old and at most {entries} entries behind.",
            ( > 0, null) => $"Its state is at most {evidence.AgeMs} ms old, within the {read.MaxStalenessMs} ms asked for.",
            _ => $"It is at most {read.MaxLag} entries behind.",
        };
    }

    private static string OfSession(SessionPoint seen, in Evidence evidence) =>
        seen.IsNone ? "The session has seen nothing of this group yet."
        : evidence.Applied >= seen.Applied ? $"It shows entry {evidence.Applied}, and the session has seen entry {seen.Applied}."
        : $"It shows entry {evidence.Applied} and not yet entry {seen.Applied}, which the session has seen.";
}
