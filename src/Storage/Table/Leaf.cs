using System.Buffers.Binary;

namespace KvStore.Storage;

/// <summary>
/// A leaf: one flat block of words, so that a search touches one array and nothing else.
/// <code>
/// word 0      pair count (low 32 bits) | skip (high 32 bits)
/// word 1+2i   key word of pair i: the 8 bytes of the key from offset skip, big-endian, zero-padded
/// word 2+2i   reference of the newest version of pair i
/// </code>
/// <c>skip</c> is the length of a prefix common to all keys of the leaf; without it the words of <c>user:0000001</c> and
/// <c>user:0000002</c> would be equal. Equal words are told apart by the keys in the records.
/// Only references change in a block that readers can see; anything else is done to a copy that takes its place.
/// </summary>
internal readonly struct Leaf(ulong[] block)
{
    public const int MaxPairs = 64;

    public static Leaf Empty() => new(new ulong[1]);

    public ulong[] Block => block;

    public int Count => (int)(uint)block[0];

    public int Skip => (int)(block[0] >> 32);

    public ulong Word(int pair) => block[1 + 2 * pair];

    public SlabReference Reference(int pair) => new(Volatile.Read(ref block[2 + 2 * pair]));

    /// <summary>A release store: who sees the reference sees the record.</summary>
    public void Swing(int pair, SlabReference reference) => Volatile.Write(ref block[2 + 2 * pair], reference.Value);

    public static ulong WordOf(ReadOnlySpan<byte> key, int skip)
    {
        if (skip + sizeof(ulong) <= key.Length)
        {
            return BinaryPrimitives.ReadUInt64BigEndian(key[skip..]);
        }

        ulong word = 0;
        for (int i = skip; i < key.Length; i++)
        {
            word |= (ulong)key[i] << (56 - 8 * (i - skip));
        }

        return word;
    }

    /// <summary>A leaf of records in key order.</summary>
    public static Leaf Of(Slabs slabs, ReadOnlySpan<SlabReference> references)
    {
        var block = new ulong[1 + 2 * references.Length];
        ReadOnlySpan<byte> first = slabs.Open(references[0], out RecordHeader firstHeader).Key(firstHeader);
        ReadOnlySpan<byte> last = slabs.Open(references[^1], out RecordHeader lastHeader).Key(lastHeader);
        int skip = first.CommonPrefixLength(last);
        block[0] = ((ulong)(uint)skip << 32) | (uint)references.Length;
        for (int i = 0; i < references.Length; i++)
        {
            ReadOnlySpan<byte> key = slabs.Open(references[i], out RecordHeader header).Key(header);
            block[1 + 2 * i] = WordOf(key, skip);
            block[2 + 2 * i] = references[i].Value;
        }

        return new Leaf(block);
    }

    /// <summary>A copy with one pair more.</summary>
    public Leaf With(Slabs slabs, int pair, ReadOnlySpan<byte> key, SlabReference reference)
    {
        if ((pair == 0 || pair == Count) && !StartsWithPrefix(slabs, key))
        {
            // Only at either end can a new key lack the prefix; between two keys that have it, it has it too.
            Span<SlabReference> references = stackalloc SlabReference[MaxPairs + 1];
            return Of(slabs, References(pair, reference, references));
        }

        var copy = new ulong[block.Length + 2];
        int at = 1 + 2 * pair;
        block.AsSpan(0, at).CopyTo(copy);
        block.AsSpan(at).CopyTo(copy.AsSpan(at + 2));
        copy[0] = block[0] + 1;
        copy[at] = WordOf(key, Skip);
        copy[at + 1] = reference.Value;
        return new Leaf(copy);
    }

    /// <summary>A copy with one pair less. The prefix could be longer now; the next split finds that out.</summary>
    public Leaf Without(int pair)
    {
        var copy = new ulong[block.Length - 2];
        int at = 1 + 2 * pair;
        block.AsSpan(0, at).CopyTo(copy);
        block.AsSpan(at + 2).CopyTo(copy.AsSpan(at));
        copy[0] = block[0] - 1;
        return new Leaf(copy);
    }

    /// <summary>The references of this leaf with one more put in at a place.</summary>
    public Span<SlabReference> References(int pair, SlabReference added, Span<SlabReference> buffer)
    {
        for (int i = 0; i <= Count; i++)
        {
            buffer[i] = i < pair ? Reference(i) : i == pair ? added : Reference(i - 1);
        }

        return buffer[..(Count + 1)];
    }

    /// <summary>The owner's search: the place of a key, or where it would have to be put in.</summary>
    public int Find(Slabs slabs, ReadOnlySpan<byte> key, out bool exists)
    {
        exists = false;
        if (Count == 0)
        {
            return 0;
        }

        if (Skip > 0)
        {
            ReadOnlySpan<byte> first = slabs.Open(Reference(0), out RecordHeader header).Key(header);
            int common = first[..Skip].CommonPrefixLength(key);
            if (common < Skip)
            {
                return common == key.Length || key[common] < first[common] ? 0 : Count;
            }
        }

        ulong word = WordOf(key, Skip);
        int low = 0;
        int high = Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >> 1;
            int order = Word(middle).CompareTo(word);
            if (order == 0)
            {
                order = slabs.Open(Reference(middle), out RecordHeader header).Key(header).SequenceCompareTo(key);
                if (order == 0)
                {
                    exists = true;
                    return middle;
                }
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low;
    }

    private bool StartsWithPrefix(Slabs slabs, ReadOnlySpan<byte> key)
    {
        if (Count == 0)
        {
            return false;
        }

        ReadOnlySpan<byte> first = slabs.Open(Reference(0), out RecordHeader header).Key(header);
        return key.StartsWith(first[..Skip]);
    }
}
