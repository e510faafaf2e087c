using System.Buffers.Binary;
using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;

namespace KvStore.Protocol;

/// <summary>
/// What one session has seen: per group the index of the last entry whose effect it met. A replica that has applied as much
/// shows the session its own writes and never less than it saw before; handed to somebody else, the token makes that
/// causal. Immutable. As text it is base64url of
/// <code>
/// [version 1][flags: 1 = overflow][cluster: first 4 bytes of SHA-256 of its id][count]
/// count × ([group varint][applied varint][history u32])      longest unused group first
/// [crc32c u32 of everything before]                          integers little-endian, varints LEB128
/// </code>
/// At most <see cref="MaxGroups"/> groups: beyond it the longest unused is dropped and the overflow bit is set. A group that is absent
/// without the bit was never seen; with it, nobody knows, and the read must be strong. The history is the group's identity
/// in time: another one means that the group was restored or begun anew, and the index says nothing.
/// </summary>
public sealed class SessionToken
{
    public const int MaxGroups = 64;

    /// <summary>Characters of the longest token: 64 groups of 5 + 10 + 4 bytes and an envelope of 11, in base64url.</summary>
    public const int MaxTextLength = (MaxGroups * 19 + 11 + 2) / 3 * 4;

    private const byte Version = 1;
    private const byte OverflowFlag = 1;
    private const int ClusterBytes = 4;
    private const int HeadBytes = 3 + ClusterBytes;
    private const int ChecksumBytes = 4;
    private const int MaxVarintBytes = 10;

    private readonly uint _cluster;
    private readonly KeyValuePair<GroupId, SessionPoint>[] _points;

    private SessionToken(uint cluster, KeyValuePair<GroupId, SessionPoint>[] points, bool overflow) =>
        (_cluster, _points, Overflow) = (cluster, points, overflow);

    /// <summary>Groups were dropped: of a group that is absent nobody knows what the session saw.</summary>
    public bool Overflow { get; }

    /// <summary>Longest unused first.</summary>
    public IReadOnlyList<KeyValuePair<GroupId, SessionPoint>> Points => _points;

    /// <summary>A session that has seen nothing.</summary>
    public static SessionToken Empty(string clusterId) => new(ClusterHash(clusterId), [], overflow: false);

    /// <summary>Reads a token of this cluster. Otherwise <paramref name="problem"/> says in a sentence what is wrong with it.</summary>
    public static bool TryParse(
        string text,
        string clusterId,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out SessionToken? token,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(false)] out string? problem)
    {
        token = null;
        problem = "the session token is unreadable; send it back exactly as Kv-Session gave it, or none to begin a session";
        if (text.Length > MaxTextLength || !Base64Url.IsValid(text, out int length) || length < HeadBytes + ChecksumBytes)
        {
            return false;
        }

        byte[] bytes = Base64Url.DecodeFromChars(text);
        ReadOnlySpan<byte> body = bytes.AsSpan(..^ChecksumBytes);
        if (FrameChecksum.Of(body) != BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(^ChecksumBytes..))
            || body[0] != Version || body[1] > OverflowFlag)
        {
            return false;
        }

        uint cluster = BinaryPrimitives.ReadUInt32LittleEndian(body[2..]);
        if (cluster != ClusterHash(clusterId))
        {
            problem = $"the session token comes from another cluster than {clusterId}; begin a session here without one";
            return false;
        }

        var points = new List<KeyValuePair<GroupId, SessionPoint>>();
        int count = body[HeadBytes - 1];
        ReadOnlySpan<byte> rest = body[HeadBytes..];
        for (int i = 0; i < count; i++)
        {
            if (!TryReadVarint(ref rest, out ulong group) || group > uint.MaxValue || !TryReadVarint(ref rest, out ulong applied)
                || rest.Length < sizeof(uint) || points.Exists(p => p.Key.Value == group))
            {
                return false;
            }

            var point = new SessionPoint(applied, BinaryPrimitives.ReadUInt32LittleEndian(rest));
            if (point.IsNone)
            {
                return false;
            }

            points.Add(new(new GroupId((uint)group), point));
            rest = rest[sizeof(uint)..];
        }

        if (rest.Length > 0 || count > MaxGroups)
        {
            return false;
        }

        token = new SessionToken(cluster, [.. points], (body[1] & OverflowFlag) != 0);
        problem = null;
        return true;
    }

    /// <summary>What the session has seen of a group; none when it is absent.</summary>
    public SessionPoint Find(GroupId group)
    {
        foreach ((GroupId key, SessionPoint point) in _points)
        {
            if (key == group)
            {
                return point;
            }
        }

        return default;
    }

    /// <summary>The group is absent because it was dropped, perhaps: only a strong read is sure to show what the session saw.</summary>
    public bool NeedsStrong(GroupId group) => Overflow && Find(group).IsNone;

    /// <summary>The session after it has been given this reply; the same session when the reply showed nothing.</summary>
    public SessionToken After(KvReply reply) => reply.Evidence is { } evidence
        ? With(evidence.Group, new SessionPoint(evidence.Applied, reply.History), coversAll: evidence.Level == ReadLevel.Strong)
        : this;

    /// <summary>The session after it has also seen this. A point of another history replaces the old one.</summary>
    /// <param name="group">Whose point it is.</param>
    /// <param name="seen">Ignored when it is none.</param>
    /// <param name="coversAll">
    /// Everything anybody saw of the group before is behind the point: it comes from a strong read or a write. Only such a point
    /// brings back a group that was dropped, for what was dropped with it may have been more.
    /// </param>
    public SessionToken With(GroupId group, SessionPoint seen, bool coversAll)
    {
        if (seen.IsNone || (NeedsStrong(group) && !coversAll))
        {
            return this;
        }

        SessionPoint known = Find(group);
        SessionPoint merged = known.History == seen.History && known.Applied > seen.Applied ? known : seen;
        int others = _points.Length - (known.IsNone ? 0 : 1);
        var points = new KeyValuePair<GroupId, SessionPoint>[others + 1];
        int count = 0;
        foreach (KeyValuePair<GroupId, SessionPoint> point in _points)
        {
            if (point.Key != group)
            {
                points[count++] = point;
            }
        }

        points[count] = new(group, merged);
        return Bounded(points, Overflow);
    }

    /// <summary>
    /// The session after everything both have seen. A group that one of them dropped, perhaps, is dropped: the other's point may
    /// be the smaller one.
    /// </summary>
    public SessionToken Merge(SessionToken other)
    {
        var points = _points.Where(p => !other.NeedsStrong(p.Key)).ToList();
        foreach ((GroupId group, SessionPoint point) in other._points)
        {
            if (!NeedsStrong(group))
            {
                SessionPoint known = Find(group);
                points.RemoveAll(p => p.Key == group);
                points.Add(new(group, known.History == point.History && known.Applied > point.Applied ? known : point));
            }
        }

        return Bounded([.. points], Overflow || other.Overflow);
    }

    private SessionToken Bounded(KeyValuePair<GroupId, SessionPoint>[] points, bool overflow) => points.Length > MaxGroups
        ? new SessionToken(_cluster, points[^MaxGroups..], overflow: true)
        : new SessionToken(_cluster, points, overflow);

    public override string ToString()
    {
        Span<byte> bytes = stackalloc byte[HeadBytes + MaxGroups * (5 + MaxVarintBytes + sizeof(uint)) + ChecksumBytes];
        bytes[0] = Version;
        bytes[1] = Overflow ? OverflowFlag : (byte)0;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[2..], _cluster);
        bytes[HeadBytes - 1] = (byte)_points.Length;
        int length = HeadBytes;
        foreach ((GroupId group, SessionPoint point) in _points)
        {
            length += WriteVarint(bytes[length..], group.Value);
            length += WriteVarint(bytes[length..], point.Applied);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[length..], point.History);
            length += sizeof(uint);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(bytes[length..], FrameChecksum.Of(bytes[..length]));
        return Base64Url.EncodeToString(bytes[..(length + ChecksumBytes)]);
    }

    private static uint ClusterHash(string clusterId)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes(clusterId), hash);
        return BinaryPrimitives.ReadUInt32LittleEndian(hash);
    }

    private static int WriteVarint(Span<byte> output, ulong value)
    {
        int length = 0;
        for (; value >= 0x80; value >>= 7)
        {
            output[length++] = (byte)(value | 0x80);
        }

        output[length++] = (byte)value;
        return length;
    }

    private static bool TryReadVarint(ref ReadOnlySpan<byte> input, out ulong value)
    {
        value = 0;
        for (int i = 0; i < Math.Min(input.Length, MaxVarintBytes); i++)
        {
            value |= (ulong)(input[i] & 0x7F) << (7 * i);
            if (input[i] < 0x80)
            {
                input = input[(i + 1)..];
                return true;
            }
        }

        return false;
    }
}
