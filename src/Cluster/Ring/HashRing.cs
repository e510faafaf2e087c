using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using KvStore.Protocol;

namespace KvStore.Cluster;

/// <summary>
/// The ring of 16,384 slots with the tokens of the nodes on it. Token i of node n is the first 8 bytes, big-endian, of
/// SHA-256("clusterId/n/i"); its top 14 bits are the slot. Tokens of one slot are ordered by node number, so every node
/// computes the same ring from the same members, in whatever order it learned of them.
/// </summary>
public sealed class HashRing
{
    public const int TokensPerWeight = 64;

    private const int SlotBits = 14;

    private readonly RingMember[] _members;

    // Sorted by slot, then node number.
    private readonly (int Slot, RingMember Owner)[] _tokens;

    public HashRing(string clusterId, IEnumerable<RingMember> members)
    {
        _members = [.. members.OrderBy(member => member.Node)];
        _tokens = [.. _members
            .SelectMany(member => Enumerable.Range(0, member.Weight * TokensPerWeight)
                .Select(i => (TokenSlot(clusterId, member.Node, i), member)))
            .OrderBy(token => token.Item1).ThenBy(token => token.member.Node)];
    }

    /// <summary>By node number.</summary>
    public IReadOnlyList<RingMember> Members => _members;

    /// <summary>
    /// Clockwise from a slot, the first nodes met, each once: nodes of zones not met before come first, and only when every
    /// zone has been used the walk starts again and takes from zones it already has.
    /// </summary>
    public IReadOnlyList<RingMember> Walk(int slot, int count)
    {
        var met = new List<RingMember>();
        var start = Array.FindIndex(_tokens, token => token.Slot >= slot);
        for (var i = 0; i < _tokens.Length && met.Count < _members.Length; i++)
        {
            var owner = _tokens[(Math.Max(start, 0) + i) % _tokens.Length].Owner;
            if (!met.Contains(owner))
            {
                met.Add(owner);
            }
        }

        var chosen = new List<RingMember>();
        while (chosen.Count < Math.Min(count, met.Count))
        {
            var zones = new List<string>();
            foreach (var member in met)
            {
                if (chosen.Count < count && !chosen.Contains(member) && !zones.Contains(member.Zone))
                {
                    zones.Add(member.Zone);
                    chosen.Add(member);
                }
            }
        }

        return chosen;
    }

    private static int TokenSlot(string clusterId, NodeId node, int index)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes($"{clusterId}/{node.Value}/{index}"), hash);
        return (int)(BinaryPrimitives.ReadUInt64BigEndian(hash) >> (64 - SlotBits));
    }
}
