using KvStore.Protocol;

namespace KvStore.Client;

/// <summary>
/// What a read must prove, and what it may cost. Start from one of the four and refine it: <c>Read.Anything with { HedgeAfter = … }</c>.
/// </summary>
public sealed record Read
{
    private Read(ReadLevel level) => Level = level;

    /// <summary>Nothing acknowledged before the call is missing. The default.</summary>
    public static Read Strong { get; } = new(ReadLevel.Strong);

    /// <summary>Whatever the nearest replica has; the answer says how old it may be.</summary>
    public static Read Anything { get; } = new(ReadLevel.Eventual);

    private static Read OfSession { get; } = new(ReadLevel.Session);

    public ReadLevel Level { get; }

    /// <summary>Of <see cref="Within"/>.</summary>
    public TimeSpan MaxStaleness { get; private init; }

    /// <summary>Of <see cref="InSession"/>: what is to be seen; null means the session the call is made in.</summary>
    public KvSessionToken? Token { get; private init; }

    /// <summary>What happens where the level cannot be proved at once: the leader is asked unless said otherwise.</summary>
    public OnUnmet OnUnmet { get; init; }

    /// <summary>For all attempts together; null means the client's <see cref="KvClientOptions.Timeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Without an answer after so long a second replica is asked, and the first answer counts. Never for strong reads.</summary>
    public TimeSpan? HedgeAfter { get; init; }

    /// <summary>Contains every write acknowledged longer ago than this: 1 ms to a day.</summary>
    public static Read Within(TimeSpan age) => age >= TimeSpan.FromMilliseconds(1) && age.TotalMilliseconds <= Limits.MaxStalenessMs
        ? new Read(ReadLevel.Bounded) { MaxStaleness = age }
        : throw new ArgumentOutOfRangeException(nameof(age), age, "An age is 1 ms to a day; who bears more wants Read.Anything.");

    /// <summary>
    /// Everything the session has written and seen. Without a token it is the session of the call: that of a <see cref="KvSession"/>, or
    /// the one that is <see cref="KvSession.Use">in use</see>; where there is none, the read is as good as <see cref="Anything"/>.
    /// </summary>
    public static Read InSession(KvSessionToken? token = null) => token is null ? OfSession : OfSession with { Token = token };

    internal ReadTerms Terms => Level switch
    {
        ReadLevel.Strong when OnUnmet == OnUnmet.Forward => ReadTerms.Strong,
        ReadLevel.Eventual when OnUnmet == OnUnmet.Forward => ReadTerms.Eventual,
        _ => new ReadTerms { Level = Level, MaxStalenessMs = (int)MaxStaleness.TotalMilliseconds, OnUnmet = OnUnmet },
    };
}
