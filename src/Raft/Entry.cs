namespace KvStore.Raft;

/// <summary>What an entry carries. Stored in the log and sent to peers: numbers are never reused.</summary>
public enum EntryKind : byte
{
    /// <summary>A batch of commands for the state machine.</summary>
    Command = 0,

    /// <summary>
    /// The empty entry that begins a leader's term (thesis 6.4): nothing of an earlier term is counted without it. With a payload: a
    /// <see cref="LevelRaise"/>.
    /// </summary>
    NoOp = 1,

    /// <summary>A configuration change; the payload is a <see cref="ConfChange"/>.</summary>
    ConfChange = 2,
}

/// <summary>
/// One entry of a group's log. A command entry is a batch: everything that reached the leader in one turn.
/// <paramref name="Clock"/> is the hybrid logical clock of its first command (milliseconds × 65,536 plus a counter, one
/// integer); command n has the revision Clock + n, so the entry uses Clock … Clock + Count - 1.
/// </summary>
/// <param name="Term">Term of the leader that appended it.</param>
/// <param name="Index">Position in the log, from 1.</param>
/// <param name="Kind">What the payload is.</param>
/// <param name="FeatureLevel">Level whose apply rules the payload needs; a replica that does not know it stops.</param>
/// <param name="Clock">Revision of the first command. Never zero: no-ops and configuration entries carry one too.</param>
/// <param name="Count">Revisions used, at least 1.</param>
/// <param name="Payload">Opaque to Raft; immutable from here on, shared by log and network.</param>
public sealed record Entry(
    ulong Term, ulong Index, EntryKind Kind, ushort FeatureLevel, ulong Clock, uint Count, ReadOnlyMemory<byte> Payload)
{
    /// <summary>The last revision this entry uses; the next entry starts above it.</summary>
    public ulong LastClock => Clock + Count - 1;

    /// <summary>Bytes this entry is charged with in every limit: its payload plus a flat cost for the envelope.</summary>
    public long ChargedBytes => Payload.Length + EnvelopeBytes;

    /// <summary>
    /// Who does not know this level must not get the entry. Of a raise it is the level that it raises to: a replica that took it for
    /// nothing would forget it with its next snapshot. A no-op whose payload cannot be read needs more than anybody knows.
    /// </summary>
    public ushort NeededLevel => Kind != EntryKind.NoOp || Payload.IsEmpty
        ? FeatureLevel
        : LevelRaise.TryDecode(Payload.Span, out ushort level) ? Math.Max(level, FeatureLevel) : ushort.MaxValue;

    internal const int EnvelopeBytes = 64;
}
