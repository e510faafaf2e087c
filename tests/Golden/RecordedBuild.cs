using System.Formats.Tar;
using System.IO.Compression;
using System.Runtime.CompilerServices;

namespace KvStore.Golden;

/// <summary>Bytes that an earlier build wrote; see README.md beside them.</summary>
internal static class RecordedBuild
{
    private const string Commit = "84ebed4";
    private const int BlockBytes = 4096;

    /// <summary>The bytes of one line of a text file.</summary>
    public static byte[] Bytes(string file, string name) => Convert.FromHexString(Lines(file)[name]);

    public static IEnumerable<string> Names(string file) => Lines(file).Keys;

    /// <summary>Unpacks a data folder. Blocks of zeros become holes, as they were: a segment has its full length from the beginning.</summary>
    public static void Unpack(string archive, string folder)
    {
        using FileStream file = File.OpenRead(PathOf(archive));
        using BrotliStream unpacked = new(file, CompressionMode.Decompress);
        using TarReader tar = new(unpacked);
        while (tar.GetNextEntry() is { } entry)
        {
            string path = Path.Combine(folder, entry.Name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            using FileStream output = File.Create(path);
            CopyWithHoles(entry.DataStream ?? Stream.Null, output);
        }
    }

    private static void CopyWithHoles(Stream input, FileStream output)
    {
        byte[] block = new byte[BlockBytes];
        long length = 0;
        for (int read; (read = input.ReadAtLeast(block, BlockBytes, throwOnEndOfStream: false)) > 0; length += read)
        {
            if (block.AsSpan(0, read).ContainsAnyExcept((byte)0))
            {
                output.Position = length;
                output.Write(block, 0, read);
            }
        }

        output.SetLength(length);
    }

    private static Dictionary<string, string> Lines(string file) =>
        File.ReadAllLines(PathOf(file)).Select(line => line.Split(' ')).ToDictionary(words => words[0], words => words[1]);

    private static string PathOf(string file, [CallerFilePath] string thisFile = "") =>
        Path.Combine(Path.GetDirectoryName(thisFile)!, Commit, file);
}
