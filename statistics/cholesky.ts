/** A symmetric positive definite matrix, row after row, as L·Lᵀ: for systems of equations and inverses. */
export class Factor {
  readonly #lower: Float64Array;
  readonly #size: number;

  /** @throws RangeError for a matrix that is not positive definite. */
  constructor(matrix: Float64Array, size: number) {
    const lower = new Float64Array(size * size);
    for (let row = 0; row < size; row += 1) {
      for (let column = 0; column <= row; column += 1) {
        let sum = matrix[row * size + column] ?? 0;
        for (let inner = 0; inner < column; inner += 1) {
          sum -= (lower[row * size + inner] ?? 0) * (lower[column * size + inner] ?? 0);
        }
        if (row === column && !(sum > 0)) throw new RangeError('The matrix is not positive definite.');
        lower[row * size + column] =
          row === column ? Math.sqrt(sum) : sum / (lower[column * size + column] ?? 1);
      }
    }
    this.#lower = lower;
    this.#size = size;
  }

  /** x with A·x = right. */
  solve(right: Float64Array): Float64Array {
    const [lower, size] = [this.#lower, this.#size];
    const x = Float64Array.from(right);
    for (let row = 0; row < size; row += 1) {
      let sum = x[row] ?? 0;
      for (let inner = 0; inner < row; inner += 1) sum -= (lower[row * size + inner] ?? 0) * (x[inner] ?? 0);
      x[row] = sum / (lower[row * size + row] ?? 1);
    }
    for (let row = size - 1; row >= 0; row -= 1) {
      let sum = x[row] ?? 0;
      for (let inner = row + 1; inner < size; inner += 1)
        sum -= (lower[inner * size + row] ?? 0) * (x[inner] ?? 0);
      x[row] = sum / (lower[row * size + row] ?? 1);
    }
    return x;
  }

  inverse(): Float64Array {
    const size = this.#size;
    const inverse = new Float64Array(size * size);
    const unit = new Float64Array(size);
    for (let row = 0; row < size; row += 1) {
      unit.fill(0);
      unit[row] = 1;
      inverse.set(this.solve(unit), row * size);
    }
    return inverse;
  }
}
