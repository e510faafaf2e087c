using System.Globalization;
using KvStore.Protocol;

namespace KvStore.Replication;

/// <summary>
/// The first entries of a cluster set the time of its groups from the wall clocks of their nodes, and group time never goes back: a minute that is
/// wrong then is wrong for a minute, and a year for a year. So a node of which nothing is known yet does not begin with clocks that are apart.
/// </summary>
public sealed partial class StoreNode
{
    /// <summary>No group here has had a leader yet, as far as this folder knows. A replica that has just come to a node is no sign of it.</summary>
    public bool IsNew
    {
        get
        {
            IReadOnlyDictionary<uint, ReplicaReader> replicas = Replicas;
            return replicas.Count > 0 && replicas.Values.All(replica => replica.Status is { LastIndex: ReplicaOpener.FirstIndexBefore });
        }
    }

    /// <summary>This node ends because of it, if it is new and has not been told to go on all the same. Any thread.</summary>
    public bool EndsBecauseOf(HelloRefused refused) => refused.Reason == HelloRefusal.ClocksApart && !Options.AcceptClockSkew && IsNew;

    private HelloRefused? ClocksApart(NodeId peer, ulong wallMs)
    {
        long own = (long)Shared.Clock.WallMs();
        long theirs = (long)Math.Min(wallMs, MaxShownMs);
        long apartMs = Math.Abs(theirs - own);
        return wallMs == 0 || apartMs <= 1000 * WallClocks.MaxLeadSeconds || Options.AcceptClockSkew || !IsNew
            ? null
            : new HelloRefused(
                HelloRefusal.ClocksApart,
                $"the wall clocks of {NameOf(Self)} and {NameOf(peer)} are {apartMs / 1000} s apart ({Shown(own)} and {Shown(theirs)}), and a new cluster takes "
                + "its time from them; set the clocks, or start every node with --accept-clock-skew");
    }

    private static string Shown(long wallMs) =>
        DateTimeOffset.FromUnixTimeMilliseconds(wallMs).ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    /// <summary>The year 9999 ends; what is later counts as that.</summary>
    private const ulong MaxShownMs = 253_402_300_799_999;
}
