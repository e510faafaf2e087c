using System.Buffers.Binary;
using System.Numerics;

namespace KvStore.StateMachine;

/// <summary>
/// A 64-bit hash that is the same in every process (HashCode is seeded). Not cryptographic: it tells replicas apart that
/// differ by a bug, not by malice.
/// </summary>
internal struct StableHash
{
    private ulong _state;

    public readonly ulong Value => Finish(_state);

    public void Add(ulong word) => _state = BitOperations.RotateLeft((_state ^ word) * 0x9E3779B97F4A7C15, 29) * 0xBF58476D1CE4E5B9;

    public void Add(UInt128 value)
    {
        Add((ulong)(value >> 64));
        Add((ulong)value);
    }

    public void Add(ReadOnlySpan<byte> bytes)
    {
        // The length first, so that neighbouring fields cannot trade bytes.
        Add((ulong)bytes.Length);
        while (bytes.Length >= 8)
        {
            Add(BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[8..];
        }

        ulong tail = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            tail |= (ulong)bytes[i] << (8 * i);
        }

        Add(tail);
    }

    // The finishing steps of splitmix64.
    private static ulong Finish(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
