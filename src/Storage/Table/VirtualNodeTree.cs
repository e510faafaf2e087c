using System.Buffers;

namespace KvStore.Storage;

/// <summary>
/// The ordered table of one virtual node: a root over directories over flat leaves. The structure has no versions, the records
/// do: a leaf points to the newest version of each key, and versions point to older ones.
/// </summary>
/// <remarks>
/// Orders. The writer: record bytes, then the reference in the leaf (release); a new leaf in its directory, a new directory in
/// the root, a new root in the tree (each one release store, after all that is reached through it was written); all of a batch,
/// then the publication (release, full fence); after that it unlinks superseded versions (release), ends their generation, and
/// only then may reuse their slots. The reader: the publication first, then root, directory, leaf, reference and header (all
/// acquire), then the bytes, then the header again. A reader that loaded the publication later could meet a leaf older than
/// its index. One that holds a root or a directory which has been replaced sees it as it was then: nothing is stored into it
/// any more, it has all that was published before, and what has left it since is told by the generations.
/// </remarks>
internal sealed class VirtualNodeTree(Slabs slabs, TreeShape shape)
{
    private RootDirectory _root = RootDirectory.Over([Leaf.Empty().Block], [], leavesPerDirectory: 1);

    internal enum Lookup : byte
    {
        Found,
        Absent,

        /// <summary>The record was freed while it was looked at: start again from the root.</summary>
        Stale,
    }

    public RootDirectory Root => Volatile.Read(ref _root);

    // ---- The owning worker ----

    public Place Find(ReadOnlySpan<byte> key)
    {
        int directory = _root.IndexOf(key);
        LeafDirectory leaves = _root[directory];
        int leaf = leaves.IndexOf(key);
        int pair = leaves[leaf].Find(slabs, key, out bool exists);
        return new Place(directory, leaf, pair, exists);
    }

    public SlabReference HeadAt(Place place) => _root[place.Directory][place.Leaf].Reference(place.Pair);

    public void Swing(Place place, SlabReference head) => _root[place.Directory][place.Leaf].Swing(place.Pair, head);

    public void Insert(Place place, ReadOnlySpan<byte> key, SlabReference head)
    {
        LeafDirectory leaves = _root[place.Directory];
        Leaf leaf = leaves[place.Leaf];
        if (leaf.Count < shape.PairsPerLeaf)
        {
            leaves.Replace(place.Leaf, leaf.With(slabs, place.Pair, key, head));
            return;
        }

        Span<SlabReference> references = leaf.References(place.Pair, head, stackalloc SlabReference[Leaf.MaxPairs + 1]);
        Span<SlabReference> left = references[..(references.Length / 2)];
        Span<SlabReference> right = references[left.Length..];
        byte[] separator = Separators.Between(KeyOf(left[^1]), KeyOf(right[0]));
        LeafDirectory split = leaves.WithSplit(place.Leaf, Leaf.Of(slabs, left), separator, Leaf.Of(slabs, right));
        if (split.Count <= shape.LeavesPerDirectory)
        {
            _root.Replace(place.Directory, split);
            return;
        }

        int half = split.Count / 2;
        SetRoot(_root.WithSplit(
            place.Directory, split.Slice(0, half), split.UpperBound(half - 1), split.Slice(half, split.Count - half)));
    }

    public void Remove(Place place)
    {
        LeafDirectory leaves = _root[place.Directory];
        Leaf leaf = leaves[place.Leaf];
        if (leaf.Count > 1)
        {
            leaves.Replace(place.Leaf, leaf.Without(place.Pair));
        }
        else if (leaves.Count > 1)
        {
            _root.Replace(place.Directory, leaves.Without(place.Leaf));
        }
        else if (_root.Count > 1)
        {
            SetRoot(_root.Without(place.Directory));
        }
        else
        {
            leaves.Replace(place.Leaf, Leaf.Empty());
        }
    }

    /// <summary>A table just built: the leaves are complete, nobody reads yet.</summary>
    public void SetRoot(RootDirectory root) => Volatile.Write(ref _root, root);

    /// <summary>Moves the records of one leaf out of draining chunks. Answers where to go on; null at the end of the tree.</summary>
    public byte[]? EvacuateLeaf(byte[] from, ref int budget)
    {
        var cursor = new LeafCursor(_root, from);
        Leaf leaf = cursor.Leaf;
        budget -= leaf.Block.Length * sizeof(ulong);
        for (int pair = 0; pair < leaf.Count; pair++)
        {
            SlabReference head = leaf.Reference(pair);
            if (!slabs.IsDraining(head))
            {
                continue;
            }

            if (budget <= 0)
            {
                return from;
            }

            SlabReference copy = slabs.Relocate(head);
            leaf.Swing(pair, copy);
            slabs.Free(head);
            slabs.Open(copy, out RecordHeader header);
            budget -= slabs.SlotBytesOf(header);
        }

        return cursor.UpperBound;
    }

    private ReadOnlySpan<byte> KeyOf(SlabReference reference) => slabs.Open(reference, out RecordHeader header).Key(header);

    // ---- Any thread ----

    /// <summary>
    /// Reads the version of a key that is visible at a moment. A value is copied into a span of the destination; the caller
    /// advances the destination when it takes the answer, so an attempt that failed leaves nothing behind.
    /// </summary>
    /// <remarks>
    /// <c>walked</c>: the answer rests on more than the newest version, on an older one or on there being none. For a reader
    /// without a registered snapshot it holds only if the moment is still the published one, for the writer frees what only
    /// such readers could see: the chain may by then be shorter, or the pair gone from its leaf.
    /// </remarks>
    public Lookup Read<TRules>(
        ReadOnlySpan<byte> key, ReadPoint at, IBufferWriter<byte> destination, out RecordMeta meta, out bool walked)
        where TRules : struct, IReadRules
    {
        meta = default;
        walked = false;
        RootDirectory root = Root;
        LeafDirectory leaves = root[root.IndexOf(key)];
        Lookup found = FindHead<TRules>(leaves[leaves.IndexOf(key)], key, out Record record, out RecordHeader header);
        if (found == Lookup.Found)
        {
            found = FindVisible<TRules>(at, ref record, ref header, out walked);
        }

        if (found != Lookup.Found)
        {
            walked |= found == Lookup.Absent;
            return found;
        }

        RecordMeta read = record.Meta(header);
        bool isAbsent = IsAbsent(header, read, at);
        Span<byte> target = default;
        if (!isAbsent && header.ValueLength > 0)
        {
            target = destination.GetSpan(header.ValueLength);
            record.Value(header).CopyTo(target);
        }

        if (TRules.RecheckGeneration && !record.IsUnchanged(header))
        {
            return Lookup.Stale;
        }

        if (isAbsent)
        {
            return Lookup.Absent;
        }

        meta = read;
        return Lookup.Found;
    }

    /// <summary>Copies the rows of one leaf that are visible at a registered moment, from a key on.</summary>
    public PageProgress ReadLeaf<TRules>(Leaf leaf, ReadOnlySpan<byte> from, ReadOnlySpan<byte> to, ReadPoint at, RowPage page)
        where TRules : struct, IReadRules
    {
        for (int pair = 0; pair < leaf.Count; pair++)
        {
            if (!slabs.TryOpen(leaf.Reference(pair), out Record record, out RecordHeader header))
            {
                return PageProgress.Stale;
            }

            // All versions have the same key; whether it is in range does not depend on which one is visible.
            ReadOnlySpan<byte> key = record.Key(header);
            bool isBelow = key.SequenceCompareTo(from) < 0;
            bool isBeyond = !to.IsEmpty && key.SequenceCompareTo(to) >= 0;
            if (TRules.RecheckGeneration && !record.IsUnchanged(header))
            {
                return PageProgress.Stale;
            }

            if (isBelow)
            {
                continue;
            }

            if (isBeyond)
            {
                return PageProgress.End;
            }

            Lookup found = FindVisible<TRules>(at, ref record, ref header, out _);
            if (found == Lookup.Stale)
            {
                return PageProgress.Stale;
            }

            if (found == Lookup.Absent)
            {
                continue;
            }

            RecordMeta meta = record.Meta(header);
            bool isAbsent = IsAbsent(header, meta, at);
            bool fits = isAbsent || page.TryAppend(record.Key(header), record.Value(header), meta);
            if (TRules.RecheckGeneration && !record.IsUnchanged(header))
            {
                return PageProgress.Stale;
            }

            if (!fits)
            {
                return PageProgress.Full;
            }
        }

        return PageProgress.LeafDone;
    }

    private static bool IsAbsent(RecordHeader header, RecordMeta meta, ReadPoint at) =>
        header.IsTombstone || (meta.ExpiresAt != 0 && meta.ExpiresAt <= at.GroupTime);

    /// <summary>
    /// The pair of a key in a block that may be out of date. No check of the common prefix: a key that lacks it is found to
    /// differ when it is compared.
    /// </summary>
    private Lookup FindHead<TRules>(Leaf leaf, ReadOnlySpan<byte> key, out Record record, out RecordHeader header)
        where TRules : struct, IReadRules
    {
        record = default;
        header = default;
        ulong word = Leaf.WordOf(key, leaf.Skip);
        int low = 0;
        int high = leaf.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >> 1;
            int order = leaf.Word(middle).CompareTo(word);
            if (order == 0)
            {
                if (!slabs.TryOpen(leaf.Reference(middle), out record, out header))
                {
                    return Lookup.Stale;
                }

                order = record.Key(header).SequenceCompareTo(key);
                if (TRules.RecheckGeneration && !record.IsUnchanged(header))
                {
                    return Lookup.Stale;
                }

                if (order == 0)
                {
                    return Lookup.Found;
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

        return Lookup.Absent;
    }

    /// <summary>Walks from a version to the newest one visible at a moment.</summary>
    private Lookup FindVisible<TRules>(ReadPoint at, ref Record record, ref RecordHeader header, out bool walked)
        where TRules : struct, IReadRules
    {
        walked = false;
        while (TRules.TestVisibility && record.ModRevision > at.Revision)
        {
            walked = true;
            SlabReference previous = record.Previous;
            if (TRules.RecheckGeneration && !record.IsUnchanged(header))
            {
                return Lookup.Stale;
            }

            if (previous.IsNone)
            {
                return Lookup.Absent;
            }

            if (!slabs.TryOpen(previous, out record, out header))
            {
                return Lookup.Stale;
            }
        }

        return Lookup.Found;
    }

    /// <summary>Where a key is, or belongs. Valid until the next change of the tree.</summary>
    internal readonly record struct Place(int Directory, int Leaf, int Pair, bool Exists);
}

/// <summary>How reading one leaf into a page ended.</summary>
internal enum PageProgress : byte
{
    LeafDone,

    /// <summary>The upper bound was reached.</summary>
    End,

    /// <summary>The next row does not fit.</summary>
    Full,

    /// <summary>A record was freed while it was read: what this leaf contributed is dropped, and the leaf is looked up again.</summary>
    Stale,
}
