using System.Text.Unicode;
using MessagePack;
using PackageReader = MessagePack.MessagePackReader;

namespace KvStore.Protocol.Tests;

/// <summary>What the package takes and our codec refuses on purpose, or the other way round. Each is looked for in the input itself.</summary>
[Flags]
internal enum KnownDifference
{
    None = 0,

    /// <summary>The package reads a str where a bin is asked for; here bytes are a bin and nothing else.</summary>
    StrForBin = 1,

    /// <summary>The package reads nil where a bin is asked for, as no bytes.</summary>
    NilForBin = 2,

    /// <summary>The package replaces bytes that are not UTF-8; here such a text is malformed.</summary>
    NotUtf8 = 4,

    /// <summary>
    /// The package reads a value in any form; the body of an operation has the shortest and no other, or it would have several digests.
    /// </summary>
    LongerForm = 8,
}

/// <summary>
/// A body in the words of the format, judged by the package's reader alone: refused is whatever it throws at, or what breaks a
/// bound that the rule states.
/// </summary>
internal abstract record BodyRule
{
    public static BodyRule U64 { get; } = new Integer(ulong.MinValue, ulong.MaxValue);

    public static BodyRule I64 { get; } = new Integer(long.MinValue, long.MaxValue);

    public static BodyRule U32 { get; } = new Integer(uint.MinValue, uint.MaxValue);

    public static BodyRule I32 { get; } = new Integer(int.MinValue, int.MaxValue);

    public static BodyRule Bool { get; } = new Boolean();

    public static BodyRule Bin16 { get; } = new Binary(16, 16);

    public static BodyRule NoElement { get; } = new Elements(new Boolean(), 0, 0);

    /// <summary>One value of any type.</summary>
    public static BodyRule Anything { get; } = new Skipped();

    public static BodyRule Within(long least, long most) => new Integer(least, most);

    public static BodyRule Bin(int most = int.MaxValue) => new Binary(0, most);

    public static BodyRule Str(int most) => new Text(most, int.MaxValue);

    public static BodyRule AsciiStr(int most) => new Text(most, 0x7F);

    public static BodyRule OrNil(BodyRule rule) => new Optional(rule);

    public static BodyRule ListOf(BodyRule element, int most, int least = 0) => new Elements(element, least, most);

    /// <summary>An array with at least these; what follows them is passed over.</summary>
    public static BodyRule Fields(params BodyRule[] fields) => new Record(fields, fields.Length, int.MaxValue);

    /// <summary>The same, of which older writers end after the first few.</summary>
    public static BodyRule FieldsSince(int least, params BodyRule[] fields) => new Record(fields, least, int.MaxValue);

    /// <summary>An array with these and nothing else.</summary>
    public static BodyRule Exactly(params BodyRule[] fields) => new Record(fields, fields.Length, fields.Length);

    /// <summary>An array of these lists, which have elements in these bounds together.</summary>
    public static BodyRule Lists(int least, int most, params BodyRule[] elements) => new ListsTogether(least, most, elements);

    /// <summary>An array judged by the number it begins with; null: no other number.</summary>
    public static BodyRule ByNumber(BodyRule? other, params (int First, BodyRule Rule)[] rules) => new Numbered(other, rules);

    /// <summary>An array judged by what it begins with.</summary>
    public static BodyRule ByFirstElement(BodyRule array, BodyRule other) => new TwoForms(array, other);

    /// <summary>A bin with a content type, its length before it, and a value.</summary>
    public static BodyRule StoredBin(bool spelledOut) => new Stored(spelledOut);

    /// <summary>Nothing follows, and every value is in the form that the package writes, which is the shortest.</summary>
    public static BodyRule Whole(BodyRule rule) => new Body(rule);

    /// <summary>A bin whose bytes are this.</summary>
    public static BodyRule InBin(BodyRule rule) => new Inner(rule);

    /// <summary>Whether the package reads the input by this rule; the differences it met on its way.</summary>
    public bool Accepts(byte[] input, out KnownDifference met)
    {
        met = KnownDifference.None;
        try
        {
            var reader = new PackageReader(input);
            return Read(ref reader, ref met);
        }
        catch (Exception e) when (e is MessagePackSerializationException or EndOfStreamException or OverflowException or ArgumentOutOfRangeException)
        {
            // The last is not documented: a length above 2^31 is a negative int to the package.
            return false;
        }
    }

    protected abstract bool Read(ref PackageReader reader, ref KnownDifference met);

    private sealed record Integer(Int128 Least, Int128 Most) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            if (reader.NextMessagePackType != MessagePackType.Integer)
            {
                return false;
            }

            bool negative = reader.CreatePeekReader() is var ahead && IsNegative(ref ahead);
            Int128 value = negative ? reader.ReadInt64() : reader.ReadUInt64();
            return value >= Least && value <= Most;
        }

        private static bool IsNegative(ref PackageReader reader)
        {
            bool signed = reader.NextCode is >= MessagePackCode.NegativeFixInt or (>= MessagePackCode.Int8 and <= MessagePackCode.Int64);
            return signed && reader.ReadInt64() < 0;
        }
    }

    private sealed record Boolean : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            reader.ReadBoolean();
            return true;
        }
    }

    private sealed record Binary(int Least, int Most) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            long length = ReadBin(ref reader, ref met)?.Length ?? Least;
            return length >= Least && length <= Most;
        }
    }

    private sealed record Stored(bool SpelledOut) : BodyRule
    {
        // The layout in words of this file: one byte n of at most 127, n bytes of ASCII, the value.
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            byte[] bytes = ReadBin(ref reader, ref met) ?? [];
            if (bytes.Length == 0 || bytes[0] > 127 || bytes.Length < 1 + bytes[0])
            {
                return false;
            }

            byte[] type = bytes[1..(1 + bytes[0])];
            return type.All(character => character <= 0x7F)
                && (SpelledOut || !type.AsSpan().SequenceEqual("application/octet-stream"u8));
        }
    }

    private sealed record Inner(BodyRule Rule) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            var inner = new PackageReader(ReadBin(ref reader, ref met) ?? []);
            return Rule.Read(ref inner, ref met);
        }
    }

    private sealed record Body(BodyRule Rule) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            long start = reader.Consumed;
            if (!Rule.Read(ref reader, ref met) || !reader.End)
            {
                return false;
            }

            byte[] bytes = System.Buffers.BuffersExtensions.ToArray(reader.Sequence.Slice(start));
            bool isShortest = MessagePackTree.WriteByPackage(MessagePackTree.ReadByPackage(bytes)).AsSpan().SequenceEqual(bytes);
            met |= isShortest ? KnownDifference.None : KnownDifference.LongerForm;
            return true;
        }
    }

    private sealed record Text(int Most, int HighestByte) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            if (reader.NextMessagePackType != MessagePackType.String)
            {
                return false;
            }

            byte[] utf8 = System.Buffers.BuffersExtensions.ToArray(reader.ReadStringSequence()!.Value);
            met |= Utf8.IsValid(utf8) ? KnownDifference.None : KnownDifference.NotUtf8;
            return utf8.Length <= Most && utf8.All(character => character <= HighestByte);
        }
    }

    private sealed record Optional(BodyRule Rule) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met) =>
            reader.TryReadNil() || Rule.Read(ref reader, ref met);
    }

    private sealed record Skipped : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met) => Skip(ref reader, 1);
    }

    private sealed record Elements(BodyRule Element, int Least, int Most) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            int count = reader.ReadArrayHeader();
            bool ok = count >= Least && count <= Most;
            for (int i = 0; ok && i < count; i++)
            {
                ok = Element.Read(ref reader, ref met);
            }

            return ok;
        }
    }

    private sealed record ListsTogether(int Least, int Most, BodyRule[] Of) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            bool ok = reader.ReadArrayHeader() == Of.Length;
            long total = 0;
            for (int list = 0; ok && list < Of.Length; list++)
            {
                int count = reader.ReadArrayHeader();
                ok = count >= 0 && (total += count) <= Most;
                for (int i = 0; ok && i < count; i++)
                {
                    ok = Of[list].Read(ref reader, ref met);
                }
            }

            return ok && total >= Least;
        }
    }

    private sealed record Record(BodyRule[] Known, int Least, int Most) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            int count = reader.ReadArrayHeader();
            bool ok = count >= Least && count <= Most;
            for (int i = 0; ok && i < Math.Min(Known.Length, count); i++)
            {
                ok = Known[i].Read(ref reader, ref met);
            }

            return ok && Skip(ref reader, count - Known.Length);
        }
    }

    private sealed record Numbered(BodyRule? Other, (int First, BodyRule Rule)[] Rules) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            var ahead = reader.CreatePeekReader();
            ahead.ReadArrayHeader();
            foreach (var (first, rule) in Rules)
            {
                var number = ahead.CreatePeekReader();
                var ignored = KnownDifference.None;
                if (Within(first, first).Read(ref number, ref ignored))
                {
                    return rule.Read(ref reader, ref met);
                }
            }

            return Other is not null && Other.Read(ref reader, ref met);
        }
    }

    private sealed record TwoForms(BodyRule Array, BodyRule Other) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            var ahead = reader.CreatePeekReader();
            ahead.ReadArrayHeader();
            bool isArray = ahead.NextMessagePackType == MessagePackType.Array;
            return (isArray ? Array : Other).Read(ref reader, ref met);
        }
    }

    // Not the package's own for arrays and maps: a count above 2^31 is a negative int to it, and passes for an empty one.
    private static bool Skip(ref PackageReader reader, long values)
    {
        while (values > 0)
        {
            values--;
            int count = 0;
            switch (reader.NextMessagePackType)
            {
                case MessagePackType.Array:
                    count = reader.ReadArrayHeader();
                    values += count;
                    break;
                case MessagePackType.Map:
                    count = reader.ReadMapHeader();
                    values += 2L * count;
                    break;
                default:
                    reader.Skip();
                    break;
            }

            if (count < 0)
            {
                return false;
            }
        }

        return true;
    }

    private static byte[]? ReadBin(ref PackageReader reader, ref KnownDifference met)
    {
        met |= reader.NextMessagePackType switch
        {
            MessagePackType.String => KnownDifference.StrForBin,
            MessagePackType.Nil => KnownDifference.NilForBin,
            _ => KnownDifference.None,
        };
        return reader.ReadBytes() is { } bytes ? System.Buffers.BuffersExtensions.ToArray(bytes) : null;
    }
}
