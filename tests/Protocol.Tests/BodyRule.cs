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

    public static BodyRule NoElement { get; } = new Elements(new Boolean(), 0);

    public static BodyRule Within(long least, long most) => new Integer(least, most);

    public static BodyRule Bin(int most = int.MaxValue) => new Binary(0, most);

    public static BodyRule Str(int most) => new Text(most);

    public static BodyRule OrNil(BodyRule rule) => new Optional(rule);

    public static BodyRule ListOf(BodyRule element, int most) => new Elements(element, most);

    /// <summary>An array with at least these; what follows them is passed over.</summary>
    public static BodyRule Fields(params BodyRule[] fields) => new Record(fields);

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
            met |= reader.NextMessagePackType switch
            {
                MessagePackType.String => KnownDifference.StrForBin,
                MessagePackType.Nil => KnownDifference.NilForBin,
                _ => KnownDifference.None,
            };
            long length = reader.ReadBytes()?.Length ?? Least;
            return length >= Least && length <= Most;
        }
    }

    private sealed record Text(int Most) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            if (reader.NextMessagePackType != MessagePackType.String)
            {
                return false;
            }

            byte[] utf8 = System.Buffers.BuffersExtensions.ToArray(reader.ReadStringSequence()!.Value);
            met |= Utf8.IsValid(utf8) ? KnownDifference.None : KnownDifference.NotUtf8;
            return utf8.Length <= Most;
        }
    }

    private sealed record Optional(BodyRule Rule) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met) =>
            reader.TryReadNil() || Rule.Read(ref reader, ref met);
    }

    private sealed record Elements(BodyRule Element, int Most) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            int count = reader.ReadArrayHeader();
            bool ok = count <= Most;
            for (int i = 0; ok && i < count; i++)
            {
                ok = Element.Read(ref reader, ref met);
            }

            return ok;
        }
    }

    private sealed record Record(BodyRule[] Known) : BodyRule
    {
        protected override bool Read(ref PackageReader reader, ref KnownDifference met)
        {
            int count = reader.ReadArrayHeader();
            bool ok = count >= Known.Length;
            for (int i = 0; ok && i < Known.Length; i++)
            {
                ok = Known[i].Read(ref reader, ref met);
            }

            for (int i = Known.Length; ok && i < count; i++)
            {
                reader.Skip();
            }

            return ok;
        }
    }
}
