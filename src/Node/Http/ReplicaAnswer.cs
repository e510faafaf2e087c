using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>What one replica said about itself when it was asked for an explanation.</summary>
/// <param name="Node">Where it lives.</param>
/// <param name="Reply">Null: no answer in time.</param>
internal readonly record struct ReplicaAnswer(NodeId Node, KvReply? Reply)
{
    /// <summary>Null when it did not answer, or answered that it cannot say.</summary>
    public Evidence? Evidence => Reply?.Evidence;

    public bool Leads => Evidence is { Role: ServedRole.Leader };

    /// <summary>Whether it could answer this read now: with what it has, or, being the leader, after one round of its own.</summary>
    public (bool CanServe, string Reason) Judge(KvRequest read)
    {
        if (Evidence is not { } evidence)
        {
            return (false, Reply is null ? "It did not answer within a second." : $"It could not say: {Reply.Code}.");
        }

        return read.Read.Level switch
        {
            ReadLevel.Strong when evidence.Role == ServedRole.Leader =>
                (true, "It leads: a round of heartbeats that starts after the read proves that nothing is missing."),
            ReadLevel.Strong => (false, "It does not lead: only the leader's word proves that nothing is missing."),
            ReadLevel.Bounded => JudgeBounded(read.Read, evidence),
            ReadLevel.Session => JudgeSession(read.Session, evidence),
            _ => (true, "Any replica may answer an eventual read."),
        };
    }

    private (bool CanServe, string Reason) JudgeBounded(ReadTerms read, in Evidence evidence)
    {
        if (read.MaxStalenessMs > 0)
        {
            if (evidence.AgeMs == Protocol.Evidence.AgeUnknown)
            {
                return (false, "It has no proof of how old its state is.");
            }

            if (evidence.AgeMs > read.MaxStalenessMs)
            {
                return (false, $"Its state may be {evidence.AgeMs} ms old, and {read.MaxStalenessMs} ms are the limit.");
            }
        }

        if (read.MaxLag is { } maxLag && evidence.Level != ReadLevel.Bounded)
        {
            return (false, Reply!.Lag is { } lag
                ? $"It may be {lag.Entries} entries behind, and {maxLag} are the limit."
                : "It has no proof of how far behind it is.");
        }

        return (true, (read.MaxStalenessMs, read.MaxLag) switch
        {
            ( > 0, { } lag) => $"Its state is at most {evidence.AgeMs} ms old and at most {lag} entries behind.",
            ( > 0, null) => $"Its state is at most {evidence.AgeMs} ms old, within the {read.MaxStalenessMs} ms asked for.",
            _ => $"It is at most {read.MaxLag} entries behind.",
        });
    }

    private (bool CanServe, string Reason) JudgeSession(SessionPoint seen, in Evidence evidence)
    {
        if (seen.IsNone)
        {
            return (true, "The session has seen nothing of this group yet.");
        }

        if (Reply!.History != 0 && Reply.History != seen.History)
        {
            return (false, "The group was restored or begun anew since the token was made.");
        }

        return evidence.Applied >= seen.Applied
            ? (true, $"It shows entry {evidence.Applied}, and the session has seen entry {seen.Applied}.")
            : (false, $"It shows entry {evidence.Applied} and not yet entry {seen.Applied}, which the session has seen.");
    }
}
