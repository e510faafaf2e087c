using System.Diagnostics;
using System.Globalization;
using KvStore.Protocol;

namespace KvStore.Node.Http;

/// <summary>The response headers of the data routes.</summary>
internal sealed class KvHeaders(string clusterId)
{
    public const string Revision = "Kv-Revision";
    public const string Consistency = "Kv-Consistency";
    public const string Staleness = "Kv-Staleness";
    public const string Lag = "Kv-Lag";
    public const string ServedBy = "Kv-Served-By";
    public const string Session = "Kv-Session";
    public const string RingEpoch = "Kv-Ring-Epoch";
    public const string Leader = "Kv-Leader";
    public const string ServerTiming = "Server-Timing";

    public const int LevelCount = 4;

    private static readonly string[] Levels = ["strong", "bounded", "session", "eventual"];
    private static readonly string[] Paths = ["local", "waited", "forwarded"];

    /// <summary>What a session begins with.</summary>
    private readonly SessionToken _newSession = SessionToken.Empty(clusterId);

    private EpochText _epoch = new(0);

    public static string NameOf(ReadLevel level) => Levels[(int)level];

    /// <summary>Null when no level has this name.</summary>
    public static ReadLevel? LevelOf(string name) => Array.IndexOf(Levels, name) is >= 0 and int level ? (ReadLevel)level : null;

    /// <summary>
    /// What the answering replica says about itself. Everything that touched a group carries it; a reply that executed nothing
    /// has no evidence and gets none.
    /// </summary>
    /// <param name="response">Of which the headers are set.</param>
    /// <param name="reply">What the store said.</param>
    /// <param name="session">The token the request came with; null begins a session.</param>
    /// <param name="nodes">Names of the nodes.</param>
    /// <param name="ownEpoch">For replies that name none.</param>
    /// <param name="started">When the request arrived.</param>
    public void Set(HttpResponse response, KvReply reply, SessionToken? session, NodeDirectory nodes, ulong ownEpoch, long started)
    {
        IHeaderDictionary headers = response.Headers;
        headers[ServerTiming] = string.Create(
            CultureInfo.InvariantCulture, $"total;dur={Stopwatch.GetElapsedTime(started).TotalMilliseconds:0.###}");
        ulong epoch = reply.Epoch != 0 ? reply.Epoch : ownEpoch;
        if (epoch != 0)
        {
            headers[RingEpoch] = TextOf(epoch);
        }

        // On KeyNotFound there is no revision; the revision of the group's last write would be somebody else's.
        if (reply.Revision != 0 && reply.Code is ErrorCode.None or ErrorCode.ConditionFailed or ErrorCode.NotOnAll)
        {
            headers[Revision] = reply.Revision.ToString();
        }

        if (reply.Evidence is { } evidence)
        {
            // What was refused met no level, and has shown its caller nothing.
            if (reply.IsExecuted)
            {
                headers[Consistency] = NameOf(evidence.Level);
            }

            headers[Staleness] = StalenessOf(evidence);
            string prefix = nodes.ServedByPrefix(evidence.Node, evidence.Role);
            string path = Paths[(int)evidence.Path];
            headers[ServedBy] = $"{prefix}{evidence.Group}; term={evidence.Term}; applied={evidence.Applied}; path={path}";
            if (reply.Lag is { } lag)
            {
                headers[Lag] = $"entries={lag.Entries}; age={AgeText(lag.AgeMs)}";
            }

            if (reply.IsExecuted)
            {
                headers[Session] = (session ?? _newSession).After(reply).ToString();
            }
        }
    }

    /// <summary>
    /// 0 for strong means: nothing acknowledged before the request arrived is missing. Not proved is "unknown", never a guess.
    /// </summary>
    private static string StalenessOf(Evidence evidence) => evidence switch
    {
        { Level: ReadLevel.Strong } => "0",
        _ => AgeText(evidence.AgeMs),
    };

    private static string AgeText(uint ageMs) => ageMs == Evidence.AgeUnknown ? "unknown" : ageMs.ToString();

    private string TextOf(ulong epoch)
    {
        EpochText current = _epoch;
        if (current.Epoch != epoch)
        {
            _epoch = current = new EpochText(epoch);
        }

        return current.Text;
    }

    private sealed class EpochText(ulong epoch)
    {
        public ulong Epoch { get; } = epoch;
        public string Text { get; } = epoch.ToString();
    }
}
