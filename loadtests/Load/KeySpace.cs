using System.Globalization;
using System.Text;

namespace KvStore.LoadTests.Load;

/// <summary>The keys of a run, 16 bytes each, and how they are drawn. Immutable: every virtual user shares it.</summary>
internal sealed class KeySpace(int count, bool zipf)
{
    private readonly ZipfKeys? _zipf = zipf ? new ZipfKeys(count) : null;

    public int Count => count;

    public override string ToString() => $"{count:N0} keys, {(zipf ? "zipf 0.99" : "uniform")}";

    public byte[] Next(Random random) => KeyOf(_zipf?.Next(random) ?? random.Next(count));

    public static byte[] KeyOf(int number) => Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key:{number:D12}"));
}
